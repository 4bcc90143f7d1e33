package defender

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/page"
	"fluent-bit-defender/internal/tick"
)

// compose returns a row as $expand would have given it, or a later version of it.
func (r *odata) compose(ctx context.Context, raw []byte) ([]byte, error) {
	if gjson.GetBytes(raw, r.facts.Row.Alerts+".0").Exists() {
		return raw, nil // the service sends the alerts without being asked
	}

	id := gjson.GetBytes(raw, r.facts.Row.Identity).String()
	if id == "" {
		return raw, nil // nothing can be asked for
	}

	now := r.client.Now()
	if !r.inner.fails(id, now) {
		whole, err := r.expanded(ctx, id)
		if err == nil || !soft(err) && !refused(err) {
			return whole, err
		}

		r.inner.failedNow(id, now)
	}

	return r.assemble(ctx, id, raw)
}

// expanded returns an incident with its alerts, from its own address with $expand.
func (r *odata) expanded(ctx context.Context, id string) ([]byte, error) {
	whole, err := r.element(ctx, id, "?$expand="+r.facts.Expand)
	if err != nil {
		return nil, err
	}

	if !gjson.GetBytes(whole, r.facts.Row.Alerts).IsArray() {
		return nil, unreadable(errNoAlerts, r.client.host)
	}

	return whole, nil
}

// assemble returns an incident with the alerts that the list of alerts has for it. The
// incident is read again after its alerts: if it has changed, they may be of another
// version, and are read again too. Otherwise a record could have the record_id of the
// next version with texts of this one, and the next version would look like a repeat.
func (r *odata) assemble(ctx context.Context, id string, row []byte) ([]byte, error) {
	for try := 1; ; try++ {
		alerts, err := r.listedAlerts(ctx, id)
		if err != nil {
			return nil, err
		}

		again, err := r.element(ctx, id, "")

		switch {
		case err != nil && !soft(err) && !refused(err):
			return nil, err
		case err == nil && bytes.Equal(again, row), try == mostReadings:
			return r.splice(row, alerts)
		case err == nil:
			row = again
		}
	}
}

// element returns one incident from its own address, as a list has it. query follows the
// address.
func (r *odata) element(ctx context.Context, id, query string) ([]byte, error) {
	address := r.client.BaseURL + r.client.Path + "/" + url.PathEscape(id) + query

	body, err := r.client.get(ctx, address, r.header())
	if err != nil {
		return nil, err
	}
	defer body.Close()

	// As the only row of a list it is bounded like one, and a part of it is noticed.
	p := page.NewReader(io.MultiReader(strings.NewReader("["), body, strings.NewReader("]")), page.Options{})
	p.Ask(body.permit)
	defer p.Reset(nil)

	row, err := p.Next()

	switch {
	case errors.Is(err, page.ErrRowTooLarge):
		return nil, unreadable(err, r.client.host)
	case errors.Is(err, io.EOF):
		return nil, body.cutShort(io.ErrUnexpectedEOF, r.client.host)
	case err != nil:
		return nil, body.cutShort(err, r.client.host)
	case gjson.GetBytes(row, r.facts.Row.Identity).String() != id:
		return nil, unreadable(page.ErrNotPage, r.client.host)
	}

	row = withoutContext(bytes.Clone(row))

	if _, err := p.Next(); !errors.Is(err, io.EOF) {
		return nil, body.cutShort(cmp.Or(err, page.ErrNotPage), r.client.host)
	}

	return row, nil
}

// withoutContext takes the key @odata.context off an object, where it comes first. Only
// an object that is an answer of its own has it.
func withoutContext(raw []byte) []byte {
	const key = `"@odata.context"`

	inside := bytes.TrimLeft(bytes.TrimPrefix(raw, []byte{'{'}), " \t\r\n")
	if !bytes.HasPrefix(inside, []byte(key)) {
		return raw
	}

	value := gjson.GetBytes(raw, `\@odata\.context`)
	if value.Index == 0 {
		return raw
	}

	rest := bytes.TrimLeft(raw[value.Index+len(value.Raw):], " \t\r\n")
	rest = bytes.TrimLeft(bytes.TrimPrefix(rest, []byte{','}), " \t\r\n")

	return append(raw[:1], rest...)
}

// listedAlerts returns the alerts of one incident from the list of all alerts, in the
// order in which they were created: that list is the newest first, and the order that
// $expand gives is not documented.
func (r *odata) listedAlerts(ctx context.Context, id string) (joined, error) {
	filter := r.facts.Inner.Owner + " eq '" + strings.ReplaceAll(id, "'", "''") + "'"
	address := r.client.BaseURL + r.facts.Inner.Path + "?$filter=" + escape(filter)
	alerts := joined{host: r.client.host, created: r.facts.Alert.Created}
	p := page.NewReader(nil, page.Options{})

	add := func(raw []byte) error {
		if gjson.GetBytes(raw, r.facts.Inner.Owner).String() != id {
			return nil // the service ignores the filter
		}

		return alerts.add(ctx, raw)
	}

	for range mostInnerPages {
		link, err := r.innerPage(ctx, p, address, add)
		if err != nil {
			return alerts, err
		}

		more, next := r.checkLink(link, query{link: address})
		if !more {
			alerts.sort()
			return alerts, nil
		}

		if next == "" {
			break
		}

		address = next
	}

	return alerts, tooMuch(r.facts.Reading, r.client.host+" lists no end of the alerts of one incident")
}

// innerPage requests one page of alerts of an incident and calls add for each. It returns
// the link to the next page.
func (r *odata) innerPage(
	ctx context.Context,
	p *page.Reader,
	address string,
	add func(raw []byte) error,
) (link string, err error) {
	body, err := r.client.get(ctx, address, r.header())
	if err != nil {
		return "", err
	}
	defer body.Close()
	defer func() { p.Reset(nil) }()

	if err := eachRow(p, body, odataList, r.client.host, add); err != nil {
		return "", err
	}

	return p.NextLink(), nil
}

// joined are the alerts of an incident, each alert once.
type joined struct {
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
func (j *joined) add(ctx context.Context, raw []byte) error {
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
func (j *joined) sort() {
	slices.SortStableFunc(j.list, func(a, b innerAlert) int {
		return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.id, b.id))
	})
}

// appendTo appends the alerts to b as a JSON array.
func (j *joined) appendTo(b []byte) []byte {
	b = append(b, '[')

	for i, a := range j.list {
		if i > 0 {
			b = append(b, ',')
		}

		b = append(b, a.raw...)
	}

	return append(b, ']')
}

var (
	// errNoObject says that a row is not an object.
	errNoObject = errors.New("a row is not a JSON object")
	// errNoAlerts says that an incident that was asked for with its alerts has none.
	errNoAlerts = errors.New("the incident has no list of alerts")
)

// splice returns the row with the alerts in it: in place of those that it has, else
// behind its last key.
func (r *odata) splice(raw []byte, alerts joined) ([]byte, error) {
	key := `"` + r.facts.Row.Alerts + `":`
	whole := make([]byte, 0, len(raw)+alerts.size+len(key)+len(",[]"))

	if has := gjson.GetBytes(raw, r.facts.Row.Alerts); has.Exists() && has.Index > 0 {
		whole = alerts.appendTo(append(whole, raw[:has.Index]...))
		return append(whole, raw[has.Index+len(has.Raw):]...), nil
	}

	end := bytes.LastIndexByte(raw, '}')
	if end < 0 {
		return nil, unreadable(errNoObject, r.client.host)
	}

	whole = append(whole, raw[:end]...)
	if !bytes.HasSuffix(bytes.TrimRight(whole, " \t\r\n"), []byte{'{'}) {
		whole = append(whole, ',')
	}

	whole = alerts.appendTo(append(whole, key...))

	return append(whole, raw[end:]...), nil
}
