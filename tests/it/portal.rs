//! The pages of the portal: sessions, what they show, what they change, and who may not.

mod attack;
mod desk;
mod pages;
mod sessions;
