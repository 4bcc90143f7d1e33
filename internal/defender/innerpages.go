package defender

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"fluent-bit-defender/internal/page"
)

// compose returns a row as it would be with $expand, or a later version of it.
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
// incident is read again after its alerts. If it has changed, the alerts may be of
// another version, and are read again too. Otherwise a record could have the record_id
// of the next version with texts of this one, and the next version would look like a
// repeat.
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

// element returns one incident from its own address, in the form that it has in a list.
// query is appended to the address.
func (r *odata) element(ctx context.Context, id, query string) ([]byte, error) {
	address := r.client.BaseURL + r.client.Path + "/" + url.PathEscape(id) + query

	body, err := r.client.get(ctx, address, r.header())
	if err != nil {
		return nil, err
	}
	defer body.Close()

	// As the only row of a list it has the same bounds, and it is noticed if a part is
	// missing.
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

// withoutContext returns an object without the key @odata.context, if that comes first.
// Only an object that is an answer of its own has this key.
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
// order in which they were created: that list has the newest first, and the order of
// $expand is not documented.
func (r *odata) listedAlerts(ctx context.Context, id string) (alertList, error) {
	filter := r.facts.Inner.Owner + " eq '" + strings.ReplaceAll(id, "'", "''") + "'"
	address := r.client.BaseURL + r.facts.Inner.Path + "?$filter=" + escape(filter)
	alerts := alertList{host: r.client.host, created: r.facts.Alert.Created}
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

// innerPage reads one page of alerts of an incident and calls add for each. It returns
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

var (
	// errNoObject says that a row is not an object.
	errNoObject = errors.New("a row is not a JSON object")
	// errNoAlerts says that an incident that was asked for with its alerts has none.
	errNoAlerts = errors.New("the incident has no list of alerts")
)

// splice returns the row with these alerts: in place of those that it has, or else behind
// its last key.
func (r *odata) splice(raw []byte, alerts alertList) ([]byte, error) {
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
