//! The thread that writes records.
//!
//! It takes one commit, then all that have arrived meanwhile, makes them in one transaction (each in a
//! savepoint of its own, so that a conflict undoes only itself) and answers all of them after its one
//! sync. It ends when every sender is gone and the queue is empty. Nothing is answered with success
//! before the transaction is on disk; when that fails, everyone in the group is told so.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{Error, Expected, Write};

/// Most commits that share one transaction.
const GROUP: usize = 128;

/// One commit and where its answer goes.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) writes: Vec<Write>,
    pub(crate) answer: oneshot::Sender<Result<u64, Error>>,
    /// Its place in the queue, free again when the request is taken out.
    pub(crate) _place: OwnedSemaphorePermit,
}

/// Owns the only connection that writes.
pub(crate) struct Writer {
    connection: Connection,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Works until nobody can send any more.
    pub(crate) fn run(mut self, mut queue: mpsc::UnboundedReceiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            let (writes, answers): (Vec<_>, Vec<_>) =
                group.into_iter().map(|request| (request.writes, request.answer)).unzip();
            let results = self.commit(&writes);
            for (position, answer) in answers.into_iter().enumerate() {
                let result = match &results {
                    Ok(results) => results.get(position).cloned().unwrap_or(Err(Error::Closed)),
                    Err(error) => Err(error.clone()),
                };
                // Whoever asked may have gone; the commit was made all the same.
                let _ = answer.send(result);
            }
        }
    }

    /// Makes a group of commits. `Err`: none of them was made, or it is not known.
    fn commit(&mut self, group: &[Vec<Write>]) -> Result<Vec<Result<u64, Error>>, Error> {
        let mut transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut newest: i64 =
            transaction.prepare_cached("SELECT revision FROM newest")?.query_row([], |row| row.get(0))?;
        let before = newest;
        let mut results = Vec::with_capacity(group.len());
        for writes in group {
            let made = make(&mut transaction, writes, newest + 1)?;
            if made.is_ok() {
                newest += 1;
            }
            results.push(made.map(|()| newest.cast_unsigned()));
        }
        if newest == before {
            return Ok(results);
        }
        transaction.prepare_cached("UPDATE newest SET revision = ?1")?.execute([newest])?;
        transaction.commit()?;
        Ok(results)
    }
}

/// Makes one commit inside the group's transaction. The inner error is the commit's own, the outer one
/// the group's.
fn make(
    transaction: &mut Transaction<'_>,
    writes: &[Write],
    revision: i64,
) -> rusqlite::Result<Result<(), Error>> {
    let savepoint = transaction.savepoint()?;
    for write in writes {
        let found = savepoint
            .prepare_cached("SELECT revision FROM records WHERE kind = ?1 AND key = ?2")?
            .query_row(params![write.kind, write.key], |row| row.get::<_, i64>(0))
            .optional()?
            .map(i64::cast_unsigned);
        let holds = match write.expected {
            Expected::Any => true,
            Expected::Absent => found.is_none(),
            Expected::Revision(revision) => found == Some(revision),
        };
        if !holds {
            // Dropping the savepoint undoes it.
            return Ok(Err(Error::Conflict { kind: write.kind.clone(), key: write.key.clone(), found }));
        }
        apply(&savepoint, write, revision)?;
    }
    savepoint.commit()?;
    Ok(Ok(()))
}

fn apply(connection: &Connection, write: &Write, revision: i64) -> rusqlite::Result<()> {
    match &write.value {
        Some(value) => connection
            .prepare_cached(
                "INSERT INTO records (kind, key, value, revision) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, revision = excluded.revision",
            )?
            .execute(params![write.kind, write.key, value.as_ref(), revision])?,
        None => connection
            .prepare_cached("DELETE FROM records WHERE kind = ?1 AND key = ?2")?
            .execute(params![write.kind, write.key])?,
    };
    Ok(())
}
