// Package plain makes texts of unknown origin fit for one line of a log or terminal.
package plain
