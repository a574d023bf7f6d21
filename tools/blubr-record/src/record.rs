//! A ring record taken apart: head, body and fields. Nothing in it is trusted to be whole.

use blubr_probes::wire::{self, wire_field, wire_field_id, wire_head, wire_kind};
use zerocopy::{FromBytes, TryFromBytes as _};

/// One record of the ring.
pub struct Record<'r> {
    /// Who, where, when.
    pub head: &'r wire_head,
    /// What kind of record it is.
    pub kind: wire_kind,
    body: &'r [u8],
    fields: [Option<Field<'r>>; FIELDS],
}

const FIELDS: usize = wire_field_id::WIRE_F_COUNT as usize;

/// A field of variable length.
#[derive(Debug, Clone, Copy)]
pub struct Field<'r> {
    /// WIRE_WALKED, WIRE_CUT, WIRE_FAULT, WIRE_UNREACHABLE.
    pub flags: u32,
    /// Its bytes.
    pub bytes: &'r [u8],
}

impl Field<'_> {
    /// Whether the flag is set.
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// A record that does not hold together: the probes and this program are not of one build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a ring record does not hold together at its {0}")]
pub struct Malformed(pub &'static str);

impl<'r> Record<'r> {
    /// Takes `bytes` apart; they must be aligned to 8, as the ring's are.
    ///
    /// # Errors
    /// When a length or a kind is not what wire.h allows.
    pub fn parse(bytes: &'r [u8]) -> Result<Self, Malformed> {
        let (head, _) = wire_head::ref_from_prefix(bytes).map_err(|_| Malformed("head"))?;
        let number = head.kind.to_ne_bytes();
        let kind = wire_kind::try_read_from_bytes(&number);
        let kind = kind.map_err(|_| Malformed("kind"))?;
        let fixed = head.fixed as usize;
        let body = bytes.get(size_of::<wire_head>()..fixed).ok_or(Malformed("body"))?;
        let mut record = Record { head, kind, body, fields: [None; FIELDS] };
        let mut rest = bytes.get(fixed..).ok_or(Malformed("fields"))?;
        while !rest.is_empty() {
            let (field, after) =
                wire_field::read_from_prefix(rest).map_err(|_| Malformed("field's head"))?;
            let len = field.len as usize;
            let bytes = after.get(..len).ok_or(Malformed("field's length"))?;
            let padded = len.checked_next_multiple_of(8).ok_or(Malformed("field's length"))?;
            rest = after.get(padded..).unwrap_or_default();
            let slot = record.fields.get_mut(usize::from(field.id)).ok_or(Malformed("field's id"))?;
            *slot = Some(Field { flags: u32::from(field.flags), bytes });
        }
        Ok(record)
    }

    /// The kind's own struct.
    ///
    /// # Errors
    /// When the body is shorter than the struct.
    pub fn body<T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable>(
        &self,
    ) -> Result<&'r T, Malformed> {
        T::ref_from_prefix(self.body).map(|(body, _)| body).map_err(|_| Malformed("body"))
    }

    /// A field, where the probe put it.
    pub fn field(&self, id: wire_field_id) -> Option<Field<'r>> {
        self.fields.get(id as usize).copied().flatten()
    }

    /// A field that the caller's memory gave, where it could be read.
    pub fn text(&self, id: wire_field_id) -> Option<Field<'r>> {
        self.field(id).filter(|field| !field.has(wire::WIRE_FAULT))
    }

    /// Whether what the caller's memory gave, or a walk, was cut at a limit.
    pub fn is_cut(&self, id: wire_field_id) -> bool {
        self.text(id).is_some_and(|field| field.has(wire::WIRE_CUT))
    }

    /// The same record with another head, and with another's body: what is known by the time that it came back.
    pub fn completed(&self, head: &'r wire_head, body: Option<&Record<'r>>) -> Record<'r> {
        Record {
            head,
            kind: self.kind,
            body: body.map_or(self.body, |other| other.body),
            fields: self.fields,
        }
    }

    /// What the call returned, where one did.
    pub fn ret(&self) -> Option<i64> {
        (self.head.flags & wire::WIRE_HAS_RET != 0).then_some(self.head.ret)
    }
}
