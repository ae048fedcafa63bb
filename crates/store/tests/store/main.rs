//! The store as its users see it: opened, filled, attacked, killed, cut off from power and opened again.
#![cfg(test)]

mod artifacts;
mod attacks;
mod child;
mod crash;
mod model;
mod open;
mod power;
mod zips;
