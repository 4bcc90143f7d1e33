-- defender.db from version 1 to 2. The table deferred was made before.
INSERT INTO deferred (id, feed, kind, since, until, reason, tries, next_try, gone_boot, gone_at, events)
	SELECT id, feed,
		CASE WHEN row IS NULL THEN 'unreadable-window'
			WHEN reason = 'waiting for Fluent Bit when the input ended' THEN 'parked-batch'
			ELSE 'rejected-event' END,
		since, until, reason, tries, next_try, gone_boot, gone_at, row
	FROM main.asides;

DELETE FROM sqlite_sequence WHERE name = 'deferred';
INSERT INTO sqlite_sequence (name, seq) SELECT 'deferred', seq FROM sqlite_sequence WHERE name = 'asides';
DROP TABLE asides;

-- Inside a text of the JSON the quotes would have backslashes before them.
UPDATE status SET data = CAST(replace(CAST(data AS TEXT), '"SetAside":', '"Deferred":') AS BLOB);
