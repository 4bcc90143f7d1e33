package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"fluent-bit-defender/internal/store"
)

// Counts are how many of each kind a store has.
type Counts struct {
	Tokens    int `json:"tokens"`
	Seeds     int `json:"seeds"`
	Units     int `json:"units"`
	Seen      int `json:"seen"`
	Deferred  int `json:"deferred"`
	Statuses  int `json:"statuses"`
	Rewinds   int `json:"rewinds"`
	Documents int `json:"documents"`
}

// String says what there is, in words.
func (n Counts) String() string {
	var parts []string

	for _, p := range []struct {
		n         int
		one, many string
	}{
		{n.Tokens, "refresh token", "refresh tokens"},
		{n.Seeds, "mark of a used seed", "marks of used seeds"},
		{n.Units, "unit", "units"},
		{n.Seen, "delivered alert version", "delivered alert versions"},
		{n.Deferred, "deferred entry", "deferred entries"},
		{n.Statuses, "status", "statuses"},
		{n.Rewinds, "request to rewind", "requests to rewind"},
		{n.Documents, "document", "documents"},
	} {
		switch {
		case p.n == 1:
			parts = append(parts, "1 "+p.one)
		case p.n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.many))
		}
	}

	if len(parts) == 0 {
		return "nothing"
	}

	return strings.Join(parts, ", ")
}

// Count counts what a store has.
func Count(ctx context.Context, s store.Store) (n Counts, err error) {
	chains, err := s.Tokens().List(ctx)
	if err != nil {
		return n, err
	}

	n.Tokens = len(chains)

	seeds, err := s.Tokens().Seeds(ctx)
	if err != nil {
		return n, err
	}

	for _, list := range seeds {
		n.Seeds += len(list)
	}

	keys, err := s.Keys(ctx)
	if err != nil {
		return n, err
	}

	for _, key := range keys {
		_, seen, ok, err := s.Load(ctx, key)
		if err != nil {
			return n, err
		}

		if ok {
			n.Units++
		}

		deferred, err := s.ListDeferred(ctx, key)
		if err != nil {
			return n, err
		}

		n.Seen += len(seen)
		n.Deferred += len(deferred)
	}

	statuses, err := s.Statuses(ctx)
	if err != nil {
		return n, err
	}

	rewinds, err := s.PendingRewind(ctx)
	if err != nil {
		return n, err
	}

	names, err := s.DocumentNames(ctx)
	n.Statuses = len(statuses)
	n.Rewinds = len(rewinds)
	n.Documents = len(slices.DeleteFunc(names, func(name string) bool { return name == store.CopyMark }))

	return n, err
}
