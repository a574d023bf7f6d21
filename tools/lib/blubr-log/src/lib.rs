//! The log format blubr.log: its events, reader, writer and hash chain.
