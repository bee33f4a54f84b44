//! Every byte, in the first, a middle and the last place of every part of a message. What passes is
//! said by a rule for each part ([`parts`]), and what passes arrives as it was sent.

mod http1;
mod parts;
