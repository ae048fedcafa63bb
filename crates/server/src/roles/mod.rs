//! What a server does, one short file each: they wire and do nothing else. Who needs whom is the order
//! in which `running` calls them: worker, API, gateway, admin.

pub(crate) mod admin;
pub(crate) mod api;
pub(crate) mod gateway;
pub(crate) mod worker;
