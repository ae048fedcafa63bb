//! Whether a program may be forked into instances: what it holds after its init that forks would fight over, found in
//! `/proc` by the broker. The program's own word counts for nothing, and honest programs need this the most: a database
//! connection that two instances use at once is a wrong answer, not a failure.
//!
//! * `rule`: the order of it, and what is told;
//! * `descriptors`: what it has open;
//! * `process`: threads, children, memory, locks, what it has left in `/tmp`.

mod descriptors;
mod process;
mod rule;
