package partner

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config/plain"
)

// Bounds of a list.
const (
	mostPages = 2000
	mostRows  = 200_000
	mostBytes = 256 << 20
	listTime  = 10 * time.Minute
)

// mostName bounds the name of a customer, in characters.
const mostName = 200

// customersHelp is the remedy for a list that is refused.
const customersHelp = "give the application the delegated permission DelegatedAdminRelationship.Read.All, and " +
	"sign in as a user who may see the relationships (a member of AdminAgents)"

// Customers returns every customer with a relationship in force, ordered by name. A
// relationship is in force while it is active or expiring. Microsoft-led ones, whose
// names begin with MLT_, only allow to read in the Partner Center, and do not count.
func (c *Client) Customers(ctx context.Context) ([]Customer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, listTime, errListTime)
	defer cancel()

	found := map[alert.TenantID]*Customer{}
	query := url.Values{"$select": {"id,displayName,status,customer,autoExtendDuration,endDateTime,accessDetails"}}
	op := c.graphCall("listing the relationships with customers")

	err := c.list(ctx, op, "/v1.0/tenantRelationships/delegatedAdminRelationships", query,
		func(raw json.RawMessage) error { return addRelationship(found, raw) })
	if err != nil {
		return nil, err
	}

	c.addNames(ctx, found)

	all := make([]Customer, 0, len(found))
	for _, customer := range found {
		slices.SortStableFunc(customer.Relationships, longer)
		all = append(all, *customer)
	}

	slices.SortFunc(all, byName)

	return all, nil
}

// graphCall describes a request to Microsoft Graph.
func (c *Client) graphCall(name string) call {
	return call{
		name:            name,
		host:            hostOf(c.s.GraphURL),
		key:             "graph_url",
		source:          c.s.Graph,
		forbidden:       "the sign-in may not see the provider's customers",
		forbiddenRemedy: customersHelp,
	}
}

// relationshipRow is a row of the list. What is missing or null stays empty.
type relationshipRow struct {
	DisplayName string  `json:"displayName"`
	Status      *string `json:"status"`
	Customer    *struct {
		TenantID    string `json:"tenantId"`
		DisplayName string `json:"displayName"`
	} `json:"customer"`
	AutoExtendDuration string `json:"autoExtendDuration"`
	EndDateTime        string `json:"endDateTime"`
	AccessDetails      struct {
		UnifiedRoles []struct {
			RoleDefinitionID string `json:"roleDefinitionId"`
		} `json:"unifiedRoles"`
	} `json:"accessDetails"`
}

// errNoStatus is returned for a row that does not say whether it is in force.
var errNoStatus = errors.New("a relationship without a status")

// addRelationship adds the relationship of a row to its customer, if it counts.
func addRelationship(found map[alert.TenantID]*Customer, raw json.RawMessage) error {
	var row relationshipRow
	if err := json.Unmarshal(raw, &row); err != nil {
		return err
	}

	if row.Status == nil {
		return errNoStatus
	}

	inForce := strings.EqualFold(*row.Status, "active") || strings.EqualFold(*row.Status, "expiring")
	if !inForce || strings.HasPrefix(row.DisplayName, "MLT_") || row.Customer == nil {
		return nil
	}

	id := strings.ToLower(strings.TrimSpace(row.Customer.TenantID))
	if !alert.IsGUID(id) {
		return nil // such as a customer that the service has deleted
	}

	customer := found[alert.TenantID(id)]
	if customer == nil {
		customer = &Customer{TenantID: alert.TenantID(id)}
		found[customer.TenantID] = customer
	}

	if customer.Name == "" {
		customer.Name = cleanName(row.Customer.DisplayName)
	}

	customer.Relationships = append(customer.Relationships, row.relationship())

	return nil
}

// relationship returns what a row says of the relationship itself.
func (row *relationshipRow) relationship() Relationship {
	r := Relationship{Name: cleanName(row.DisplayName), AutoExtends: lasts(row.AutoExtendDuration)}
	if at, err := time.Parse(time.RFC3339, row.EndDateTime); err == nil {
		r.Ends = at.UTC()
	}

	for _, given := range row.AccessDetails.UnifiedRoles {
		if id := strings.ToLower(given.RoleDefinitionID); alert.IsGUID(id) {
			r.Roles = append(r.Roles, id)
		}
	}

	slices.Sort(r.Roles)
	r.Roles = slices.Compact(r.Roles)

	return r
}

// lasts reports whether an ISO 8601 duration is longer than nothing: P180D, but not PT0S
// or P0D.
func lasts(duration string) bool {
	return strings.HasPrefix(duration, "P") && strings.ContainsAny(duration, "123456789")
}

// cleanName makes a name of the service fit for one line.
func cleanName(s string) string { return plain.Line(strings.TrimSpace(s), mostName) }

// addNames sets the names of customers whose relationships have none: by the list of
// customers, or one by one if that has none either. If no name can be read, it is the
// tenant id, since alerts can be read without a name.
func (c *Client) addNames(ctx context.Context, found map[alert.TenantID]*Customer) {
	var nameless []*Customer

	for _, id := range slices.Sorted(maps.Keys(found)) {
		if found[id].Name == "" {
			nameless = append(nameless, found[id])
		}
	}

	if len(nameless) == 0 {
		return
	}

	names, listErr := c.customerNames(ctx)
	asked := 0

	for _, customer := range nameless {
		if listErr == nil {
			customer.Name = names[customer.TenantID]
		}

		if customer.Name == "" && asked < mostNames {
			asked++

			name, err := c.Name(ctx, customer.TenantID)
			if err == nil {
				customer.Name = name
			}
		}

		if customer.Name == "" {
			customer.Name = string(customer.TenantID)
		}
	}
}

// mostNames bounds how many names are asked for one by one.
const mostNames = 50

// customerNames returns the names of all customers by the list of customers.
func (c *Client) customerNames(ctx context.Context) (map[alert.TenantID]string, error) {
	names := map[alert.TenantID]string{}
	query := url.Values{"$select": {"id,tenantId,displayName"}, "$top": {"300"}}

	err := c.list(ctx, c.graphCall("listing customers"), "/v1.0/tenantRelationships/delegatedAdminCustomers", query,
		func(raw json.RawMessage) error { return addName(names, raw) })
	if err != nil {
		return nil, err
	}

	return names, nil
}

// addName adds the name in a row of the list of customers.
func addName(names map[alert.TenantID]string, raw json.RawMessage) error {
	var row struct {
		TenantID    string `json:"tenantId"`
		DisplayName string `json:"displayName"`
	}
	if err := json.Unmarshal(raw, &row); err != nil {
		return err
	}

	if id := strings.ToLower(row.TenantID); alert.IsGUID(id) {
		names[alert.TenantID(id)] = cleanName(row.DisplayName)
	}

	return nil
}

// Name returns the name of a tenant, which need not be a customer of the provider.
func (c *Client) Name(ctx context.Context, id alert.TenantID) (string, error) {
	if !alert.IsGUID(string(id)) {
		return "", badAnswer(c.graphCall("asking for the name of a tenant"), "is asked for a name by a GUID only")
	}

	op := c.graphCall("asking for the name of a tenant")
	op.forbiddenRemedy = "give the application the delegated permission CrossTenantInformation.ReadBasic.All"
	address := c.s.GraphURL + "/v1.0/tenantRelationships/findTenantInformationByTenantId(tenantId='" + string(id) + "')"

	got, err := c.do(ctx, request{call: op, method: http.MethodGet, address: address})
	if err != nil {
		return "", err
	}

	var row struct {
		DisplayName string `json:"displayName"`
	}
	if json.Unmarshal(got.body, &row) != nil {
		return "", badAnswer(op, "sends an answer that is no JSON")
	}

	return cleanName(row.DisplayName), nil
}
