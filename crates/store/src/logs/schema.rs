//! The tables of logs. Steps that were released do not change: a new version is a new step.

/// The schema, one step per version.
pub(crate) const SCHEMA: &[&str] = &[
    "
    CREATE TABLE functions (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_ms INTEGER NOT NULL,
        bytes INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE streams (
        id INTEGER PRIMARY KEY,
        function INTEGER NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        first_ms INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        ingested_ms INTEGER NOT NULL,
        UNIQUE (function, name)
    );
    -- AUTOINCREMENT: a cursor into deleted lines must never meet a new line's id.
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        function INTEGER NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
        stream INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
        timestamp_ms INTEGER NOT NULL,
        ingested_ms INTEGER NOT NULL,
        request_id TEXT,
        text TEXT NOT NULL
    );
    CREATE INDEX events_by_function ON events (function, timestamp_ms, id);
    CREATE INDEX events_by_stream ON events (stream, timestamp_ms, id);
",
    "
    -- Lines that were written together are one row: `chunk` says how.
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY,
        function INTEGER NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
        stream INTEGER NOT NULL REFERENCES streams (id) ON DELETE CASCADE,
        first_ms INTEGER NOT NULL,
        ingested_ms INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        content BLOB NOT NULL
    );
    INSERT INTO chunks (id, function, stream, first_ms, ingested_ms, bytes, content)
        SELECT id, function, stream, timestamp_ms, ingested_ms, length(CAST(text AS BLOB)) + 26,
            CAST('0 0 ' || coalesce(request_id, '-') || ' ' || length(CAST(text AS BLOB)) || char(10) || text
                 AS BLOB)
        FROM events;
    CREATE INDEX chunks_by_function ON chunks (function, first_ms, id);
    CREATE INDEX chunks_by_stream ON chunks (stream, first_ms, id);
    -- A cursor into deleted lines must never meet a new line's id.
    CREATE TABLE next_event (id INTEGER NOT NULL);
    INSERT INTO next_event
        SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'events';
    DROP TABLE events;
",
];
