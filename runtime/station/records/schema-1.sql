-- The first version of the station's records. Never edit it: a station in the field has it. Changes are schema-2.sql.

CREATE TABLE results (
  number INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order of storing; never used again after a deletion
  id TEXT NOT NULL UNIQUE,                   -- UUID4, 32 hexadecimal digits: what the REST service calls a result
  created_utc TEXT NOT NULL,                 -- ISO 8601 with milliseconds and Z
  origin TEXT NOT NULL CHECK (origin IN ('camera', 'upload')),
  subject TEXT NOT NULL,                     -- typed, scanned or generated; never a name
  site TEXT NOT NULL,
  operator TEXT NOT NULL,
  outcome TEXT NOT NULL,
  label TEXT NOT NULL,                       -- id of the likeliest class
  score REAL,                                -- NULL where the bundle has no decision
  threshold REAL,
  probabilities TEXT NOT NULL,               -- JSON: class id to probability
  findings TEXT NOT NULL,                    -- JSON: why the image has to be taken again
  ood_score REAL,
  latency_ms TEXT NOT NULL,                  -- JSON: stage to milliseconds
  backend TEXT NOT NULL,
  precision TEXT NOT NULL,
  bundle TEXT NOT NULL,                      -- name and version
  bundle_hash TEXT NOT NULL,                 -- SHA-256 of its manifest
  bundle_signed_by TEXT,
  explained TEXT NOT NULL,                   -- the class whose map is kept
  cam BLOB NOT NULL,                         -- float32, little-endian, [cam_side, cam_side]
  cam_side INTEGER NOT NULL
) STRICT;

CREATE INDEX results_by_subject ON results (subject, number);
CREATE INDEX results_by_outcome ON results (outcome, number);
CREATE INDEX results_by_time ON results (created_utc);

CREATE TABLE files (                         -- image files; each is on disk before its row is here
  path TEXT PRIMARY KEY,                     -- relative to the images folder
  result_id TEXT NOT NULL REFERENCES results (id) ON DELETE CASCADE,
  kind TEXT NOT NULL CHECK (kind IN ('image', 'view')),
  bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL
) STRICT;

CREATE INDEX files_by_result ON files (result_id);

CREATE TABLE reviews (                       -- never changed; the newest of a result counts
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  result_id TEXT NOT NULL REFERENCES results (id) ON DELETE CASCADE,
  created_utc TEXT NOT NULL,
  agrees INTEGER NOT NULL CHECK (agrees IN (0, 1)),
  note TEXT NOT NULL,
  reviewer TEXT NOT NULL
) STRICT;

CREATE INDEX reviews_by_result ON reviews (result_id, number);

CREATE TABLE notices (                       -- banners: shown until somebody has seen them, kept for ever
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  message TEXT NOT NULL,
  hint TEXT NOT NULL,
  created_utc TEXT NOT NULL,
  seen_utc TEXT,
  seen_by TEXT
) STRICT;

CREATE TABLE facts (                         -- what the station remembers between starts
  name TEXT PRIMARY KEY,
  value TEXT NOT NULL                        -- JSON
) STRICT;
