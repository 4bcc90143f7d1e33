package instance

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"fluent-bit-defender/internal/advice"
	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/health"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/partner"
	"fluent-bit-defender/internal/store"
)

// lister lists the provider's customers. *partner.Client implements it.
type lister interface {
	Customers(ctx context.Context) ([]partner.Customer, error)
	Tenant(ctx context.Context, name string) (partner.Tenant, error)
}

// discovery keeps the list of the provider's customers for one input. One goroutine at
// a time asks for a new list; every poller reads what is known.
type discovery struct {
	log   *slog.Logger
	store store.Documents
	now   func() time.Time

	// relations is what pollers read: the customers by their ids, and when they were
	// listed.
	relations atomic.Pointer[relations]

	mu       sync.Mutex        // guards the fields below
	settings *config.Discovery // nil: nothing is discovered
	list     lister
	// changed reports whether something about the sign-in has changed since it failed.
	changed func(context.Context) bool
	known   partner.Known
	// domains are the ids of tenants that are listed in the file by a domain; empty for
	// one that the sign-in service does not know.
	domains  map[alert.TenantID]alert.TenantID
	busy     bool
	due      time.Time     // when the next list is asked for
	asked    time.Time     // when the last one was
	failures int           // lists that failed in a row
	trouble  *troubleSince // why the last list failed; nil after a good one
	noticed  bool          // a notice of this run was written to the store
	unsaved  bool          // the last list could not be stored, and the log says so
}

// relations are the customers as the good lists so far show them, and why the last list
// failed.
type relations struct {
	on      bool // customers are discovered
	listed  time.Time
	of      map[alert.TenantID]partner.KnownCustomer
	trouble *troubleSince
}

// troubleSince is why lists fail, and since when.
type troubleSince struct {
	health.Trouble
	since time.Time
}

// Pauses between two lists.
const (
	retryFirst = time.Minute      // after a list that failed; it doubles, up to `every`
	retrySoon  = time.Minute      // at least, when a customer's sign-in is refused
	storeTime  = 10 * time.Second // for reading and writing the list in the store
)

// configure puts new settings in force; nil for none. list lists the customers with
// them, and changed reports whether the sign-in is worth another try. If the provider
// or its application is another one than before, the last list is read from the store.
func (d *discovery) configure(settings *config.Discovery, list lister, changed func(context.Context) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()

	same := d.settings != nil && settings != nil && documentOf(d.settings) == documentOf(settings)
	d.settings = settings
	d.list = list
	d.changed = changed
	d.due = time.Time{}

	if !same {
		d.known = partner.Known{}
		d.failures = 0
		d.trouble = nil

		if settings != nil {
			d.known = d.restore(documentOf(settings))
		}
	}

	d.publish()
}

// publish shows pollers, metrics and page what is known. d.mu must be held.
func (d *discovery) publish() {
	r := &relations{
		on:      d.settings != nil,
		listed:  d.known.Listed,
		of:      make(map[alert.TenantID]partner.KnownCustomer),
		trouble: d.trouble,
	}
	for _, c := range d.known.Customers {
		r.of[c.TenantID] = c
	}

	d.relations.Store(r)
}

// tenants returns the tenants that the known customers become.
func (d *discovery) tenants() ([]config.Tenant, error) {
	d.mu.Lock()
	defer d.mu.Unlock()

	if d.settings == nil {
		return nil, nil
	}

	listed := make(map[alert.TenantID]bool)
	for _, id := range d.domains {
		listed[id] = true
	}

	var customers []config.Customer

	for _, c := range d.known.Customers {
		stops := c.Gone() && d.settings.OnVanish == config.StopVanished
		if !stops && !listed[c.TenantID] {
			customers = append(customers, config.Customer{TenantID: c.TenantID, Name: c.Name})
		}
	}

	return d.settings.Tenants(customers)
}

// begin reports whether a list is to be asked for now. If so, the caller must call run.
func (d *discovery) begin(ctx context.Context) bool {
	d.mu.Lock()
	defer d.mu.Unlock()

	if d.settings == nil || d.busy {
		return false
	}

	if d.now().Before(d.due) && (d.failures == 0 || d.changed == nil || !d.changed(ctx)) {
		return false
	}

	d.busy = true
	d.asked = d.now()

	return true
}

// hurry makes the next list come soon, since a customer's sign-in is refused.
func (d *discovery) hurry() {
	d.mu.Lock()
	defer d.mu.Unlock()

	if soon := d.asked.Add(retrySoon); soon.Before(d.due) {
		d.due = soon
	}
}

// run asks for a list and puts it in force. It reports whether the tenants may have
// changed. A list that fails or is empty changes nothing.
func (d *discovery) run(ctx context.Context) bool {
	d.mu.Lock()
	settings, list, asked := d.settings, d.list, d.asked
	d.mu.Unlock()

	customers, err := list.Customers(ctx)
	if err == nil && len(customers) == 0 {
		err = errNoCustomers
	}

	var domains map[alert.TenantID]alert.TenantID
	if err == nil {
		domains, err = d.resolve(ctx, list, settings.Listed())
	}

	d.mu.Lock()
	defer d.mu.Unlock()

	d.busy = false

	if ctx.Err() != nil || d.settings != settings {
		return false // the input ends, or the settings changed meanwhile: the list is of no use
	}

	if err != nil {
		d.failed(err)
		return false
	}

	d.succeeded(customers, domains, asked)

	return true
}

// errNoCustomers says that a list is empty. It is more likely that the sign-in may not
// see the customers than that the provider has lost them all.
var errNoCustomers error = &advice.Fault{
	Reason:  advice.RoleMissing,
	Problem: "listing the relationships with customers: no relationship in force leads to a customer",
	Remedy: "check home_tenant_id, and sign in as a user who may see the relationships (a member of " +
		"AdminAgents); `defenderctl tenants discover` shows what is listed",
	Fate: advice.NotAuthorised,
}

// failed records why a list failed, and when to try again. It logs one line until a
// list succeeds, or fails for another reason. d.mu must be held.
func (d *discovery) failed(err error) {
	pause := min(retryFirst<<min(d.failures, 10), d.settings.Every)
	d.failures++
	d.due = d.now().Add(pause)

	before := d.trouble
	d.trouble = d.troubleOf(err)
	d.publish()
	d.saveNotice()

	if before != nil && before.Reason == d.trouble.Reason {
		d.log.Debug("the customers still cannot be listed: " + err.Error())
		return
	}

	d.log.Error(fmt.Sprintf("the customers cannot be listed, and the %d that are known stay: %v",
		len(d.known.Customers), err))
}

// troubleOf returns what is shown of a list that failed. d.mu must be held.
func (d *discovery) troubleOf(err error) *troubleSince {
	t := &troubleSince{since: d.now()}
	if d.trouble != nil {
		t.since = d.trouble.since
	}

	message := err.Error()
	t.Reason = advice.Internal

	if f := advice.Of(err); f != nil {
		message = f.Message()
		t.Reason = f.Reason
		t.Remedy = f.Remedy
		t.Trace = f.Traces()
	}

	t.Message = fmt.Sprintf("the provider's customers cannot be listed since %s UTC, and the %d that are known stay: "+
		"%s", t.since.UTC().Format(time.DateTime), len(d.known.Customers), message)
	t.Remedy = cmp.Or(t.Remedy, "see Fluent Bit's log; `defenderctl tenants discover` tries it at once")

	return t
}

// measure returns what the metrics show of the lists.
func (d *discovery) measure() measure.Discovery {
	r := d.relations.Load()
	if r == nil {
		return measure.Discovery{}
	}

	return measure.Discovery{
		On:     r.on,
		Failed: r.trouble != nil,
		Listed: r.listed,
	}
}

// notice returns why the last list failed; nil after a good one.
func (d *discovery) notice() *health.Trouble {
	r := d.relations.Load()
	if r == nil || r.trouble == nil {
		return nil
	}

	return &r.trouble.Trouble
}

// succeeded puts a new list in force and stores it. d.mu must be held.
func (d *discovery) succeeded(
	customers []partner.Customer, domains map[alert.TenantID]alert.TenantID, asked time.Time,
) {
	if d.trouble != nil {
		d.log.Info("the customers are listed again")
	}

	if d.trouble != nil || !d.noticed { // or the store may still have the notice of an earlier run
		d.trouble = nil
		d.saveNotice()
	}

	d.failures = 0
	d.due = asked.Add(d.settings.Every)
	d.domains = domains

	keeps := func(c *partner.KnownCustomer) bool {
		return d.settings.Keeps(config.Customer{TenantID: c.TenantID, Name: c.Name})
	}

	next, change := d.known.Update(customers, asked, keeps)
	d.known = next
	d.publish()

	if change.Any() {
		d.log.Info(listedText(len(customers)) + changeText(change))
	}

	d.save()
}
