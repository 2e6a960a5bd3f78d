-- Whose threshold a result was compared with. Never edit it: a station in the field has it.

ALTER TABLE results ADD COLUMN approval TEXT;  -- JSON: who approved this clinic's own, when, on how many cases; NULL: the bundle's
