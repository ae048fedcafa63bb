//! The Lambda service: functions, versions, aliases, URLs, concurrency, invoke
