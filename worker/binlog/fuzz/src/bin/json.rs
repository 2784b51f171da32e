#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dm_binlog_fuzz::json::run(bytes));
