-- Shows a defender.db of version 1 as if it had version 2, without changing it.
CREATE TEMP VIEW deferred (id, feed, kind, since, until, reason, tries, next_try, gone_boot, gone_at, events) AS
	SELECT id, feed,
		CASE WHEN row IS NULL THEN 'unreadable-window'
			WHEN reason = 'waiting for Fluent Bit when the input ended' THEN 'parked-batch'
			ELSE 'rejected-event' END,
		since, until, reason, tries, next_try, gone_boot, gone_at, row
	FROM main.asides;

CREATE TEMP VIEW status (feed, data) AS
	SELECT feed, CAST(replace(CAST(data AS TEXT), '"SetAside":', '"Deferred":') AS BLOB)
	FROM main.status;
