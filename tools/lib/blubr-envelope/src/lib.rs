//! DSSE envelopes and OpenPGP: sign, verify, encrypt, open.
