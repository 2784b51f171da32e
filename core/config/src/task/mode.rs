//! The closed choices of a task file. Spellings are the file's; anything else is an error of the key's own code.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// The spelling in the file; `None` for any other text.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

choice!(
    /// Which units a task runs.
    TaskMode {
        All => "all",
        Full => "full",
        Incremental => "incremental",
        Dump => "dump",
        Load => "load",
        LoadAndSync => "load&sync",
    }
);
choice!(
    /// How tables of several sources are merged into one.
    ShardMode {
        Pessimistic => "pessimistic",
        Optimistic => "optimistic",
    }
);
choice!(
    /// Whether the upstream's default collation is written into CREATE statements.
    Collation {
        Loose => "loose",
        Strict => "strict",
    }
);
choice!(
    /// How full data gets into the target.
    ImportMode {
        Logical => "logical",
        Physical => "physical",
        ImportInto => "import-into",
    }
);
choice!(
    /// What a row does that is already there, in a logical import.
    OnDuplicate {
        Replace => "replace",
        Error => "error",
        Ignore => "ignore",
    }
);
choice!(
    /// What a row does that is already there, in a physical import.
    OnDuplicatePhysical {
        None => "none",
        Manual => "manual",
    }
);
choice!(
    /// How much an operation after a physical import is worth.
    Necessity {
        Required => "required",
        Optional => "optional",
        Off => "off",
    }
);
choice!(
    /// What continuous validation compares.
    ValidationMode {
        None => "none",
        Fast => "fast",
        Full => "full",
    }
);

impl TaskMode {
    pub fn has_dump(self) -> bool {
        match self {
            Self::All | Self::Full | Self::Dump => true,
            Self::Incremental | Self::Load | Self::LoadAndSync => false,
        }
    }

    pub fn has_load(self) -> bool {
        match self {
            Self::All | Self::Full | Self::Load | Self::LoadAndSync => true,
            Self::Incremental | Self::Dump => false,
        }
    }

    pub fn has_sync(self) -> bool {
        match self {
            Self::All | Self::Incremental | Self::LoadAndSync => true,
            Self::Full | Self::Dump | Self::Load => false,
        }
    }
}
