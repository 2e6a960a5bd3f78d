-- The audit log, accounts and tokens. Never edit it: a station in the field has it.

CREATE TABLE audit (                         -- rows are only ever added; runtime/audit says how they are chained
  number INTEGER PRIMARY KEY,                -- 1, 2, 3 … without a gap
  created_utc TEXT NOT NULL,
  event TEXT NOT NULL,
  who TEXT NOT NULL,                         -- an account, or the station itself
  about TEXT NOT NULL,                       -- a result's id, a banner's number; never a subject
  detail TEXT NOT NULL,
  mac BLOB NOT NULL                          -- HMAC-SHA256 over the row before and this row
) STRICT;

CREATE TABLE accounts (
  name TEXT PRIMARY KEY,
  role TEXT NOT NULL CHECK (role IN ('operator', 'clinician', 'admin')),
  secret TEXT NOT NULL,                      -- scrypt: salt and hash, hexadecimal
  changed INTEGER NOT NULL,                  -- grows with every new secret or role: older sessions end
  failures INTEGER NOT NULL DEFAULT 0,       -- wrong secrets since the last right one
  locked_until REAL NOT NULL DEFAULT 0       -- seconds since 1970
) STRICT;

CREATE TABLE tokens (                        -- for machines
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('operator', 'clinician', 'admin')),
  sha256 TEXT NOT NULL UNIQUE,               -- of the token, which is nowhere else
  created_utc TEXT NOT NULL,
  revoked_utc TEXT
) STRICT;
