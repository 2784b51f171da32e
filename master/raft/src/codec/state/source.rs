//! Sources, and configuration texts.

use dm_state::record::{ConfigText, Placement, Source};

use crate::{
    codec::convert::{Convert, records},
    error::Corrupt,
};

impl Convert for ConfigText {
    type Message = String;

    fn to_message(&self) -> String {
        self.as_str().to_owned()
    }

    fn of_message(message: String) -> Result<Self, Corrupt> {
        Ok(Self::new(message))
    }
}

records! {
    Source {
        id: value,
        config: value,
        config_revision: value,
        created_at: value,
        placement: option,
        last_worker: option,
        moving_to: option,
    }
    Placement { session: value, since: value }
}
