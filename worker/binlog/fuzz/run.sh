#!/bin/sh
# Runs every fuzz target for FUZZ_SECONDS (60) each, from the committed corpus. Stable Rust: the coverage counters are put in by LLVM.
# New inputs go to a folder outside the clone; an input that does harm is left in worker/binlog/fuzz/artifacts.
set -eu
cd "$(dirname "$0")"
CACHE=${DM_CACHE:-$HOME/.cache/dm}
TARGET=$CACHE/target-fuzz
FLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
FLAGS="$FLAGS -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
HOST=$(rustc -vV | sed -n 's/^host: //p')
# with --target, build scripts stay without counters
CARGO_TARGET_DIR=$TARGET RUSTFLAGS="$FLAGS" cargo build --locked --release --quiet --target "$HOST"
mkdir -p artifacts
for target in ${FUZZ_TARGETS:-events json window ddl}; do
    mkdir -p "$CACHE/fuzz/$target"
    echo "fuzz: $target for ${FUZZ_SECONDS:-60} s"
    "$TARGET/$HOST/release/$target" -max_total_time="${FUZZ_SECONDS:-60}" -max_len=8192 -timeout=5 -rss_limit_mb=1024 \
        -malloc_limit_mb=256 -artifact_prefix=artifacts/ -print_final_stats=1 "$CACHE/fuzz/$target" "corpus/$target" \
        2>"$CACHE/fuzz/$target.log" || { tail -n 40 "$CACHE/fuzz/$target.log" >&2; exit 1; }
    grep -E 'stat::number_of_executed_units|stat::average_exec|stat::peak_rss' "$CACHE/fuzz/$target.log"
    grep -E 'cov:' "$CACHE/fuzz/$target.log" | tail -n 1
done
