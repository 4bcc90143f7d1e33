package partner

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"fluent-bit-defender/internal/alert"
)

// Customer is one customer, with its relationships that are in force.
type Customer struct {
	// TenantID is a GUID in lower case.
	TenantID alert.TenantID
	// Name is the customer's name, made fit for a line; the tenant id if there is none.
	Name string
	// Relationships are those that are in force, the one that lasts longest first; at
	// least one.
	Relationships []Relationship
}

// Relationship is one relationship of delegated admin privileges that is in force.
type Relationship struct {
	Name string
	// Ends is when it ends; zero if the service does not say.
	Ends time.Time
	// AutoExtends says that it is extended by itself when it ends.
	AutoExtends bool
	// Roles are the ids of its roles, in lower case, without repeats.
	Roles []string
}

// longer orders relationships by how long they last, the longest first.
func longer(a, b Relationship) int {
	if a.AutoExtends != b.AutoExtends {
		if a.AutoExtends {
			return -1
		}

		return 1
	}

	return b.Ends.Compare(a.Ends)
}

// SoonEnds is how long before its end a relationship is worth a warning.
const SoonEnds = 60 * 24 * time.Hour

// EndsSoon reports whether a relationship ends within SoonEnds, and is not extended by
// itself.
func EndsSoon(ends time.Time, autoExtends bool, now time.Time) bool {
	return !ends.IsZero() && !autoExtends && ends.Sub(now) <= SoonEnds
}

// Lasting returns the relationship that decides how long alerts can be read: of those
// with a role that reads alerts the one that lasts longest, else the one that lasts
// longest.
func (c *Customer) Lasting() Relationship {
	if len(c.Relationships) == 0 {
		return Relationship{}
	}

	list := slices.SortedStableFunc(slices.Values(c.Relationships), longer)
	for _, r := range list {
		if slices.ContainsFunc(r.Roles, readsAlerts) {
			return r
		}
	}

	return list[0]
}

// Roles returns the ids of the roles of all relationships, sorted.
func (c *Customer) Roles() []string {
	var all []string
	for _, r := range c.Relationships {
		all = append(all, r.Roles...)
	}

	slices.Sort(all)

	return slices.Compact(all)
}

// ReadsAlerts reports whether a role of the customer's relationships allows to read
// alerts.
func (c *Customer) ReadsAlerts() bool { return slices.ContainsFunc(c.Roles(), readsAlerts) }

// CanConsent reports whether a role of the customer's relationships allows to consent
// for an application.
func (c *Customer) CanConsent() bool {
	return slices.ContainsFunc(c.Roles(), func(id string) bool { return roleOf(id).consents() })
}

func readsAlerts(id string) bool { return roleOf(id).reads() }

// role is a role of Microsoft Entra that matters here.
type role struct{ id, name, use string }

// What a role is used for.
const (
	reading    = "reading"
	consenting = "consenting"
	everything = "everything"
)

func (r role) reads() bool    { return r.use == reading || r.use == everything }
func (r role) consents() bool { return r.use == consenting || r.use == everything }

// roles are the roles that matter here:
// https://learn.microsoft.com/entra/identity/role-based-access-control/permissions-reference
var roles = []role{
	{"5d6b6bb7-de71-4623-b4af-96380a352509", "Security Reader", reading},
	{"5f2222b1-57c3-48ba-8ad5-d4759f1fde6f", "Security Operator", reading},
	{"194ae4cb-b126-40b2-bd5b-6091b380977d", "Security Administrator", reading},
	{"62e90394-69f5-4237-9190-012177145e10", "Global Administrator", everything},
	{"158c047a-c907-4556-b7ef-446551a6b5f7", "Cloud Application Administrator", consenting},
	{"9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3", "Application Administrator", consenting},
}

// roleOf returns the role with an id; its name is empty if it does not matter here.
func roleOf(id string) role {
	for _, r := range roles {
		if r.id == id {
			return r
		}
	}

	return role{}
}

// RoleNames returns the names of those roles, of the given ids, that matter here: first
// those that read alerts, then those that consent.
func RoleNames(ids []string) []string {
	names := []string{}

	for _, r := range roles {
		if slices.Contains(ids, r.id) {
			names = append(names, r.name)
		}
	}

	return names
}

// byName orders customers by name, then by id.
func byName(a, b Customer) int {
	return cmp.Or(
		cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)),
		cmp.Compare(a.TenantID, b.TenantID),
	)
}
