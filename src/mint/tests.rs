//! Tests of minted tokens.
