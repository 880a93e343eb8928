//! What states are: their kinds, outcomes and tags.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$word_doc])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// As the graph writes it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The one of that name.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|word| word.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What a state means for the people around an order.
    Kind {
        /// On the way; nobody needs to step in.
        Active = "active",
        /// Off the way; somebody must step in.
        Attention = "attention",
        /// The end.
        Terminal = "terminal",
    }
}

words! {
    /// How an order ended.
    Outcome {
        /// The customer has it.
        Success = "success",
        /// This order brought nothing.
        Failure = "failure",
        /// Called off.
        Cancelled = "cancelled",
    }
}

words! {
    /// What else may be said of a state.
    Tag {
        /// It lies on the way that everybody hopes for.
        Happy = "happy",
        /// An order can still be called off here.
        Cancellable = "cancellable",
        /// What was ordered can still be changed here.
        Modifiable = "modifiable",
    }
}
