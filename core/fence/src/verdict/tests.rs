use super::*;
use crate::lane::{Consistency, Slicing};

fn row(epoch: u64, seq: u64, batch_crc: Option<u32>) -> LaneRow {
    let slicing = Slicing { consistency: Consistency::Transaction, slice_rows: 1 };
    LaneRow { seq, batch_crc, ..LaneRow::first(0, ClusterId("ours".to_owned()), Epoch(epoch), slicing) }
}

fn attempt(seq: u64, batch_crc: u32) -> Attempt {
    Attempt { lane: 0, cluster_id: ClusterId("ours".to_owned()), epoch: Epoch(7), seq, batch_crc }
}

#[test]
fn only_one_affected_row_holds_the_fence() {
    let attempt = attempt(4, 1);
    assert_eq!(judge_update(&attempt, 1, None), FenceVerdict::Held);
    assert_eq!(judge_update(&attempt, 0, None), FenceVerdict::RowMissing);
    assert_eq!(judge_update(&attempt, 0, Some(&row(9, 5, None))), FenceVerdict::Fenced { owner: Epoch(9) });
    assert_eq!(judge_update(&attempt, 0, Some(&row(7, 5, None))), FenceVerdict::SeqMismatch { expected: 4, found: 5 });
    assert_eq!(
        judge_update(&attempt, 0, Some(&row(6, 4, None))),
        FenceVerdict::Broken(Breach::EpochRegressed { found: Epoch(6) })
    );
    assert_eq!(
        judge_update(&attempt, 2, Some(&row(7, 4, None))),
        FenceVerdict::Broken(Breach::Affected { affected: 2 })
    );
    let foreign = LaneRow { cluster_id: ClusterId("theirs".to_owned()), ..row(9, 4, None) };
    assert_eq!(
        judge_update(&attempt, 0, Some(&foreign)),
        FenceVerdict::Broken(Breach::ForeignCluster { owner: ClusterId("theirs".to_owned()) })
    );
}

/// The fold is in the target or not; every probe's COMMIT may be lost, executed or not, any number of times; between
/// them a new owner may take over. Whatever is concluded must be true.
#[test]
fn a_lost_commit_is_judged_truly_however_many_probes_are_lost_too() {
    const FOLD: u32 = 77;
    let mut n_judged = 0;
    for fold_committed in [false, true] {
        for before in [None, Some(5), Some(FOLD)] {
            let start = if fold_committed { row(7, 11, Some(FOLD)) } else { row(7, 10, before) };
            n_judged += explore(&start, 0, fold_committed);
        }
    }
    assert!(n_judged > 100, "the enumeration must not be empty: {n_judged}");
}

fn explore(row: &LaneRow, lost_probes: u64, fold_committed: bool) -> usize {
    if lost_probes > 5 {
        return 0;
    }
    let verdict = judge_unknown_commit(&attempt(10, 77), lost_probes, Some(row));
    let after_probe = match verdict {
        CommitVerdict::Committed { seq } => {
            assert!(fold_committed, "{row:?} after {lost_probes} lost probes");
            assert_eq!(seq, row.seq);
            LaneRow { seq: seq + 1, ..row.clone() }
        }
        CommitVerdict::NotCommitted { seq } => {
            assert!(!fold_committed, "{row:?} after {lost_probes} lost probes");
            assert_eq!(seq, row.seq);
            LaneRow { seq: seq + 1, batch_crc: None, ..row.clone() }
        }
        CommitVerdict::Fenced { .. } | CommitVerdict::Broken(_) => panic!("{verdict:?} for {row:?}"),
    };
    // The probe is acknowledged (the verdict stands), or lost before or after it took effect.
    let superseded = LaneRow { epoch: Epoch(8), seq: row.seq + 1, batch_crc: None, ..row.clone() };
    assert_eq!(
        judge_unknown_commit(&attempt(10, 77), lost_probes, Some(&superseded)),
        CommitVerdict::Fenced { owner: Epoch(8) }
    );
    1 + explore(row, lost_probes + 1, fold_committed) + explore(&after_probe, lost_probes + 1, fold_committed)
}

#[test]
fn what_our_history_cannot_explain_ends_the_incarnation() {
    let attempt = attempt(10, 77);
    let judge = |lost, row: LaneRow| judge_unknown_commit(&attempt, lost, Some(&row));
    assert_eq!(judge_unknown_commit(&attempt, 0, None), CommitVerdict::Broken(Breach::RowMissing));
    let seq = |found| CommitVerdict::Broken(Breach::Seq { expected: 10, found });
    assert_eq!(judge(0, row(7, 9, None)), seq(9));
    assert_eq!(judge(0, row(7, 12, Some(77))), seq(12));
    assert_eq!(judge(0, row(7, 11, None)), seq(11));
    assert_eq!(judge(0, row(7, 11, Some(78))), CommitVerdict::Broken(Breach::ForeignTransaction));
    assert_eq!(judge(0, row(6, 10, None)), CommitVerdict::Broken(Breach::EpochRegressed { found: Epoch(6) }));
}
