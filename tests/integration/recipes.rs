//! The files of `docs/recipes`, run as they stand there.

mod pages;
mod providers;
mod proxies;
