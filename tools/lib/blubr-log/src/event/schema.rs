//! The macros that turn a documented struct into its writer, its reader and its documentation.

/// What a manual says of one key.
#[derive(Debug, Clone, Copy)]
pub struct KeyDoc {
    /// The key.
    pub name: &'static str,
    /// The JSON shape of its value.
    pub shape: &'static str,
    /// Whether every event of this type has it.
    pub always: bool,
    /// Whether the value may stand in base64 under the key with `_b64` behind it.
    pub bytes: bool,
    /// What it says.
    pub doc: &'static str,
}

/// What a manual says of one type.
#[derive(Debug, Clone, Copy)]
pub struct TypeDoc {
    /// The type as the log spells it, such as `file.open`.
    pub name: &'static str,
    /// When such an event is written.
    pub doc: &'static str,
    /// Its own keys, in order.
    pub keys: &'static [KeyDoc],
}

/// Defines a struct whose fields are keys of the log.
macro_rules! schema {
    (
        $(#[doc = $doc:literal])* $(#[derive($($derive:ident),*)])?
        struct $Name:ident $(<$lt:lifetime>)? { $( $(#[doc = $fdoc:literal])* $field:ident : $Ty:ty, )* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, $($($derive),*)?)]
        pub struct $Name $(<$lt>)? {
            $( $(#[doc = $fdoc])* pub $field: $Ty, )*
        }

        impl<'a> $Name $(<$lt>)? {
            /// The text of the documentation above, for manuals.
            pub const DOC: &'static str = concat!($($doc),*);

            /// The keys, in order.
            pub const KEYS: &'static [crate::event::KeyDoc] = &[
                $( crate::event::KeyDoc {
                    name: crate::event::schema::plain(stringify!($field)),
                    shape: <$Ty as crate::event::field::Field>::SHAPE,
                    always: <$Ty as crate::event::field::Field>::REQUIRED,
                    bytes: <$Ty as crate::event::field::Field>::BYTES,
                    doc: concat!($($fdoc),*),
                }, )*
            ];

            /// One bit a key, of those that must be there.
            pub(crate) const REQUIRED: u32 = {
                let mut mask = 0;
                let mut at = 0;
                while at < Self::KEYS.len() {
                    if Self::KEYS[at].always {
                        mask |= 1 << at;
                    }
                    at += 1;
                }
                mask
            };

            pub(crate) fn write(&self, out: &mut Vec<u8>) {
                $( crate::event::field::Field::write(
                    &self.$field,
                    const { crate::event::schema::plain(stringify!($field)) },
                    out,
                ); )*
                let _ = out;
            }

            /// An empty one, for the reader to fill.
            pub(crate) fn unread() -> Self {
                $Name { $( $field: <$Ty as crate::event::field::Field<'a>>::unread(), )* }
            }

            /// Reads the value of `key` if it is one of ours; says which bit of the mask it is.
            pub(crate) fn read<A: serde::de::MapAccess<'a>>(
                &mut self, key: &str, map: &mut A,
            ) -> Result<Option<crate::event::read::Got>, A::Error> {
                let (name, encoded) = crate::event::read::split(key);
                let mut bit = 0u32;
                $(
                    if name == const { crate::event::schema::plain(stringify!($field)) } {
                        return crate::event::read::value::<$Ty, A>(&mut self.$field, encoded, bit, map);
                    }
                    bit += 1;
                )*
                let _ = (bit, name, encoded, map);
                Ok(None)
            }
        }
    };
}
pub(crate) use schema;

/// Defines [`Body`](super::Body) from the list of types.
macro_rules! bodies {
    ( $( $name:literal $Ty:ident $(<$lt:lifetime>)?, )* ) => {
        /// What an event of each type says.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Body<'a> {
            $( #[doc = concat!("`", $name, "`")] $Ty($Ty $(<$lt>)?), )*
            /// A type that this version does not know; its own fields are passed over.
            Other,
        }

        impl<'a> Body<'a> {
            /// All types with their documentation, in the order of the manual.
            pub const TYPES: &'static [TypeDoc] = &[
                $( TypeDoc { name: $name, doc: $Ty::DOC, keys: $Ty::KEYS }, )*
            ];

            /// The type as the log spells it; empty for one that this version does not know.
            pub fn type_name(&self) -> &'static str {
                match self { $( Body::$Ty(_) => $name, )* Body::Other => "" }
            }

            pub(crate) fn write(&self, out: &mut Vec<u8>) {
                match self { $( Body::$Ty(body) => body.write(out), )* Body::Other => {} }
            }

            pub(crate) fn unread(name: &str) -> Self {
                match name { $( $name => Body::$Ty($Ty::unread()), )* _ => Body::Other }
            }

            pub(crate) fn required(&self) -> (u32, &'static [KeyDoc]) {
                match self { $( Body::$Ty(_) => ($Ty::REQUIRED, $Ty::KEYS), )* Body::Other => (0, &[]) }
            }

            pub(crate) fn read<A: serde::de::MapAccess<'a>>(
                &mut self, key: &str, map: &mut A,
            ) -> Result<Option<read::Got>, A::Error> {
                match self { $( Body::$Ty(body) => body.read(key, map), )* Body::Other => Ok(None) }
            }
        }

        $( impl<'a> From<$Ty $(<$lt>)?> for Body<'a> {
            fn from(body: $Ty $(<$lt>)?) -> Self { Body::$Ty(body) }
        } )*
    };
}
pub(crate) use bodies;

/// `type` for `r#type`.
pub(crate) const fn plain(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', rest @ ..] => match std::str::from_utf8(rest) {
            Ok(text) => text,
            Err(_) => field,
        },
        _ => field,
    }
}
