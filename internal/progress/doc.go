// Package progress knows how far one unit has come: its watermark, its floor, its
// seen-set, and how far back the next poll reaches. It is arithmetic on times and
// numbers: it starts no goroutine, knows no store and no API, and has no clock.
//
// A unit's events are numbered 1, 2, 3… as they are queued. Three lines in time follow
// each other:
//
//	watermark              read mark
//	    │  marks: "read up to here when event n was queued"
//	────┴───────┬─────┬────────┴──────────────────────────────► update time of alerts
//	 committed     queued or delivered       not read yet
//
// Everything updated before the read mark was read, and is queued at least. A mark keeps
// where the read mark stood when an event was queued. When the event is delivered, Due
// offers a Step: the watermark at that mark, and the entries of the seen-set that belong
// to what was delivered. The caller writes the step to its store and calls Commit.
// Nothing that was not delivered is ever part of a step, so an end of the process at any
// moment repeats a little and loses nothing.
//
// # Replays
//
// When a node has taken a unit over from one that died, the unit's checkpoint has Replay
// set: what is emitted may have been delivered before, and is marked. The replay ends
// with the first pass that is read to its end. In the store it ends when all events of
// that pass are delivered.
//
// # How far a poll reaches back
//
// A poll reads from the read mark less the overlap, since alerts may be listed late. The
// overlap grows to the greatest lateness that was observed, and shrinks when that was not
// seen again for a day. Every sweep interval a poll is a sweep: it reaches back as far as
// the sweep lookback. No poll reaches back behind the floor.
//
// # Caveats
//
// The seen-set is in memory. It takes 56 bytes for each alert version of the time that
// polls reach back, and as much for each alert if the format says which version is the
// first. A Budget bounds it: see Full.
package progress
