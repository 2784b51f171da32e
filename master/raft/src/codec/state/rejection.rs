//! Refusals, as remembered answers hold them.

use dm_state::Rejection;

use crate::codec::convert::choices;

choices! {
    Rejection in rejection, REJECTIONS {
        IndexNotAbove { index: value, applied: value },
        NotBootstrapped {},
        AlreadyBootstrapped { cluster_id: value },
        ClusterVersionFalls { asked: value, present: value },
        ClusterVersionTooLow { needed: value, present: value },
        IncarnationsUsedUp {},
        MasterStoreDiffers { name: value, known: value, shown: value },
        MasterStoreRetired { store_uuid: value },
        MasterStoreTaken { store_uuid: value, name: value },
        MasterUnknown { name: value },
        MasterIsLast { name: value },
        WorkerExists { name: value, addr: value },
        WorkerUnknown { name: value },
        WorkerOnline { name: value },
        SessionOfOtherInstance { worker: value, session: value },
        SessionNotLive { session: value },
        SourceExists { source_id: value },
        SourceUnknown { source_id: value },
        SourceChanged { source_id: value, expected: value, present: value },
        SourceHasTasks { source_id: value, tasks: list },
        SourcesNotBound { sources: list },
        PlacementChanged { source_id: value, present: option },
        SourceNotPlaced { source_id: value },
        SubtasksExist { task: value, sources: list },
        TaskUnknown { task: value },
        SubtasksUnknown { task: value, sources: list },
        NoSources { task: value },
        TaskRunning { task: value, sources: list },
        TaskChanged { task: value, expected: value, present: value },
        EpochNotPresent { subtask: message, shown: value, present: option },
        NoOperator { subtask: message },
        OperatorWithoutStatement { subtask: message },
        MetaDiffers { present: option },
        TooLarge { what: value, n_bytes: value, max_bytes: value },
        TooMany { what: value, present: value },
        RequestForgotten { client: value, seq: value },
    }
}
