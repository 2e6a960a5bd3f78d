-- What is to be sent to the clinic's receiver. Never edit it: a station in the field has it.

CREATE TABLE outbox (
  result_id TEXT PRIMARY KEY REFERENCES results (id) ON DELETE CASCADE,
  queued_utc TEXT NOT NULL,
  upload_url TEXT NOT NULL DEFAULT '',       -- where an upload that has begun goes on; empty: none has
  sha256 TEXT NOT NULL DEFAULT '',           -- of the package that began there
  sent_utc TEXT                              -- NULL until the receiver has answered with the package's own SHA-256
) STRICT;

CREATE INDEX outbox_by_sent ON outbox (sent_utc, queued_utc);
