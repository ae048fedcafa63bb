//! What the power cut tests are made of: functions as they should be ([`model`]), threads that change
//! them through the AWS API and remember what was acknowledged ([`work`]), and eyes that see what a server
//! has after a cut ([`look`]).

pub mod look;
pub mod model;
pub mod work;
