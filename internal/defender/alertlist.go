package defender

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/tick"
)

// alertList has the alerts of an incident, each alert once.
type alertList struct {
	host    string
	created string // the field that they are sorted by
	list    []innerAlert
	size    int
	ids     map[string]struct{}
}

// innerAlert is an alert of an incident.
type innerAlert struct {
	id      string
	created tick.Tick // 0 if it has none
	raw     []byte
}

// add adds an alert, unless the list has it. Many large ones need the permit.
func (j *alertList) add(ctx context.Context, raw []byte) error {
	id := gjson.GetBytes(raw, "id").String()
	if _, twice := j.ids[id]; twice && id != "" {
		return nil
	}

	j.size += len(raw) + len(",")
	if j.size > page.DefaultMaxRow {
		return tooMuch("reading an answer",
			fmt.Sprintf("%s lists an incident of more than %d MB", j.host, page.DefaultMaxRow>>20))
	}

	if j.size > page.LargeRow {
		release, err := permitLarge(ctx)
		if err != nil {
			return err
		}
		defer release()
	}

	if j.ids == nil {
		j.ids = map[string]struct{}{}
	}

	j.ids[id] = struct{}{}
	created, _ := tick.Parse(gjson.GetBytes(raw, j.created).String()) // without one it comes first

	j.list = append(j.list, innerAlert{id: id, created: created, raw: bytes.Clone(raw)})

	return nil
}

// sort sorts the alerts by the time of their creation, and then by their id.
func (j *alertList) sort() {
	slices.SortStableFunc(j.list, func(a, b innerAlert) int {
		return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id))
	})
}

// appendTo appends the alerts to b as a JSON array.
func (j *alertList) appendTo(b []byte) []byte {
	b = append(b, '[')

	for i, a := range j.list {
		if i > 0 {
			b = append(b, ',')
		}

		b = append(b, a.raw...)
	}

	return append(b, ']')
}
