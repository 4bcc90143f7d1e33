package partner

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
)

// Known is what is kept of a provider's customers between two lists: the customers of the
// last good list, and those of earlier lists that are missing from it. The zero value has
// no customers.
type Known struct {
	// Listed is when the last good list was asked for.
	Listed time.Time `json:"listed"`
	// Customers are ordered by name.
	Customers []KnownCustomer `json:"customers"`
}

// KnownCustomer is one customer of a list.
type KnownCustomer struct {
	TenantID alert.TenantID `json:"tenant_id"`
	Name     string         `json:"tenant_name"`
	// Ends is when Customer.Lasting ends; zero if that is not known.
	Ends        time.Time `json:"relationship_end,omitzero"`
	AutoExtends bool      `json:"auto_extend,omitempty"`
	// Roles are the ids of the roles of all its relationships.
	Roles []string `json:"roles,omitempty"`
	// Vanished is when the customer was first missing from a list; zero while it is in
	// the last one.
	Vanished time.Time `json:"vanished,omitzero"`
}

// Gone reports whether the customer is not in the last good list.
func (c *KnownCustomer) Gone() bool { return !c.Vanished.IsZero() }

// GoneFault returns what is wrong with a customer who is gone, and polled all the same.
func (c *KnownCustomer) GoneFault() *advice.Fault {
	return &advice.Fault{
		Reason: advice.GDAPEnded,
		Problem: "since " + c.Vanished.UTC().Format(time.DateTime) +
			" UTC no relationship in force leads to the customer; alerts are read as long as the sign-in allows it",
		Remedy: "ask the customer for a new relationship; if the customer has left, add it to discover.exclude " +
			"in the tenants file",
		Fate: advice.NotAuthorised,
	}
}

// Change names what differs between two lists.
type Change struct {
	// New, Back and Vanished have names of customers: those that were in no list before,
	// those that were missing and are back, and those that are missing now.
	New, Back, Vanished []string
}

// Any reports whether anything differs.
func (c *Change) Any() bool { return len(c.New)+len(c.Back)+len(c.Vanished) > 0 }

// Update returns what is known after a new list, and what changed. A customer that is
// missing from the list is kept, as vanished, if keep returns true for it.
func (k *Known) Update(list []Customer, now time.Time, keep func(*KnownCustomer) bool) (Known, Change) {
	next := Known{Listed: now}
	before := map[alert.TenantID]KnownCustomer{}

	for _, c := range k.Customers {
		before[c.TenantID] = c
	}

	var change Change

	for _, c := range list {
		old, known := before[c.TenantID]

		switch {
		case !known:
			change.New = append(change.New, c.Name)
		case old.Gone():
			change.Back = append(change.Back, c.Name)
		}

		delete(before, c.TenantID)

		lasting := c.Lasting()
		next.Customers = append(next.Customers, KnownCustomer{
			TenantID:    c.TenantID,
			Name:        c.Name,
			Ends:        lasting.Ends,
			AutoExtends: lasting.AutoExtends,
			Roles:       c.Roles(),
		})
	}

	for _, c := range k.Customers {
		if _, missing := before[c.TenantID]; !missing {
			continue
		}

		if !c.Gone() {
			c.Vanished = now
			change.Vanished = append(change.Vanished, c.Name)
		}

		if keep(&c) {
			next.Customers = append(next.Customers, c)
		}
	}

	slices.SortStableFunc(next.Customers, func(a, b KnownCustomer) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})

	return next, change
}

// DocumentName returns the name under which a store keeps the Known of a home tenant's
// customers, as one application sees them.
func DocumentName(loginHost string, home alert.TenantID, client alert.ClientID) string {
	return "customers/" + strings.Join([]string{loginHost, string(home), string(client)}, "/")
}

// Encode returns the text that a store keeps. DecodeKnown reads it.
func (k *Known) Encode() ([]byte, error) { return json.Marshal(k) }

// DecodeKnown reads a text that Encode made.
func DecodeKnown(body []byte) (Known, error) {
	var k Known
	if err := json.Unmarshal(body, &k); err != nil {
		return Known{}, errors.New("the list of customers in the store cannot be read")
	}

	for i := range k.Customers {
		c := &k.Customers[i]
		if !alert.IsGUID(string(c.TenantID)) {
			return Known{}, errors.New("the list of customers in the store has a tenant without an id")
		}

		c.Name = cleanName(c.Name)
		if c.Name == "" {
			c.Name = string(c.TenantID)
		}
	}

	return k, nil
}
