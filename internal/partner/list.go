package partner

import (
	"context"
	"encoding/json"
	"errors"
	"fluent-bit-defender/internal/netfault"
	"net/http"
	"net/url"
	"strings"
)

// errListTime is the cause with which the context of a list ends that takes too long.
var errListTime = errors.New("the list did not end in time")

// page is one page of a list of Microsoft Graph.
type page struct {
	rows []json.RawMessage
	next string // the address of the next page, empty for none
}

// parsePage reads a page. A page without a list of rows is an error, so that it is not
// taken for an empty one.
func parsePage(body []byte) (page, error) {
	var raw struct {
		Value *[]json.RawMessage `json:"value"`
		Next  string             `json:"@odata.nextLink"`
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return page{}, err
	}

	if raw.Value == nil {
		return page{}, errors.New("no list of rows")
	}

	return page{rows: *raw.Value, next: raw.Next}, nil
}

// list calls add with every row of a list. An error means that the list is not complete.
func (c *Client) list(
	ctx context.Context, op call, path string, query url.Values, add func(json.RawMessage) error,
) error {
	address := c.s.GraphURL + path + "?" + encoded(query)
	seen := map[string]bool{}
	rows, size := 0, 0

	for address != "" {
		if seen[address] || len(seen) >= mostPages {
			return badAnswer(op, "sends a list without end")
		}

		seen[address] = true

		got, err := c.do(ctx, request{call: op, method: http.MethodGet, address: address})
		if err != nil {
			if errors.Is(context.Cause(ctx), errListTime) {
				return badAnswer(op, "sends a list without end")
			}

			return err
		}

		p, err := parsePage(got.body)
		if err != nil {
			return badAnswer(op, "sends a page that cannot be read")
		}

		rows += len(p.rows)
		size += len(got.body)

		if rows > mostRows || size > mostBytes {
			return badAnswer(op, "sends a list without end")
		}

		for _, raw := range p.rows {
			if add(raw) != nil {
				return badAnswer(op, "sends a row that cannot be read")
			}
		}

		address, err = c.nextAddress(op, p.next)
		if err != nil {
			return err
		}
	}

	return nil
}

// encoded encodes a query as OData services expect it: with %20 for a blank and a plain
// $.
func encoded(query url.Values) string {
	return strings.NewReplacer("+", "%20", "%24", "$", "%2C", ",").Replace(query.Encode())
}

// nextAddress returns the address of the next page, empty if there is none. It must be at
// the same host, since the access token is sent with it.
func (c *Client) nextAddress(op call, next string) (string, error) {
	if next == "" {
		return "", nil
	}

	base, err := url.Parse(c.s.GraphURL)
	if err != nil {
		return "", badAnswer(op, "has an address that cannot be used")
	}

	u, err := base.Parse(next)
	if err != nil || u.User != nil || !netfault.SameServer(u, base) {
		return "", badAnswer(op, "continues its list at another host, which is not followed: a token is sent to the "+
			"configured host only")
	}

	return u.String(), nil
}
