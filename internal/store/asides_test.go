package store

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

func TestWhatIsSetAsideCanBeListedWithoutItsRowsAndReadOneByOne(t *testing.T) {
	s := newWorld(t).open()
	other := testFeed
	other.API = "incidents"
	window := Aside{From: 1, To: 2, Reason: "HTTP 500", Tries: 3, NextTry: time.Unix(100, 5).UTC()}
	row := Aside{Row: []byte("{\x00\xff"), Reason: "refused", NextTry: time.Unix(200, 0).UTC()}
	gone := Aside{Row: []byte("gone"), Reason: "refused", NextTry: time.Unix(300, 0).UTC()}
	for _, a := range []*Aside{&window, &row, &gone} {
		var err error
		if a.ID, err = s.PutAside(t.Context(), testFeed, *a); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DropAside(t.Context(), testFeed, gone.ID); err != nil {
		t.Fatal(err)
	}
	list, err := s.ListAsides(t.Context(), testFeed)
	light := row
	light.Row = nil
	if want := []ListedAside{{window, false}, {light, true}}; err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("ListAsides = %+v, %v; want %+v", list, err, want)
	}
	if list, err := s.ListAsides(t.Context(), other); err != nil || list != nil {
		t.Errorf("of another feed: %v, %v", list, err)
	}
	for _, test := range []struct {
		key  FeedKey
		id   int64
		want []byte
	}{{testFeed, row.ID, row.Row}, {testFeed, window.ID, nil}, {testFeed, gone.ID, nil}, {testFeed, 99, nil}, {other, row.ID, nil}} {
		if got, ok, err := s.AsideRow(t.Context(), test.key, test.id); err != nil || ok != (test.want != nil) || !bytes.Equal(got, test.want) {
			t.Errorf("AsideRow(%s, %d) = %q, %t, %v; want %q", test.key.API, test.id, got, ok, err, test.want)
		}
	}
}
