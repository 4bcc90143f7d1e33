package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/partner"
	"fluent-bit-defender/internal/store"
)

// documentOf returns the name under which the store keeps the list.
func documentOf(settings *config.Discovery) string {
	home := settings.Home

	return partner.DocumentName(home.LoginHost(), home.HomeTenantID, home.ClientID)
}

// restore reads the last good list from the store.
func (d *discovery) restore(name string) partner.Known {
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()

	body, ok, err := d.store.Document(ctx, name)

	var known partner.Known
	if err == nil && ok {
		known, err = partner.DecodeKnown(body)
	}

	if err != nil {
		d.log.Warn("the last list of customers is not used, a new one is asked for: " + err.Error())
	}

	return known
}

// save writes the list to the store. d.mu must be held.
func (d *discovery) save() {
	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()

	body, err := d.known.Encode()
	if err == nil {
		err = d.store.SetDocument(ctx, documentOf(d.settings), body)
	}

	if err != nil && !d.unsaved {
		d.log.Warn("the list of customers cannot be stored, and a restart would ask for a new one: " + err.Error())
	}

	d.unsaved = err != nil
}

// saveNotice writes to the store why the last list failed, for `defenderctl status`.
// After a good list it removes the notice. d.mu must be held.
func (d *discovery) saveNotice() {
	d.noticed = true

	ctx, cancel := context.WithTimeout(context.Background(), storeTime)
	defer cancel()

	var (
		body []byte
		err  error
	)

	if d.trouble != nil {
		body, err = json.Marshal(d.trouble.Trouble)
	}

	if err == nil {
		err = d.store.SetDocument(ctx, store.DiscoveryNotice, body)
	}

	if err != nil {
		d.log.Debug("`defenderctl status` does not learn how the list of customers came in: " + err.Error())
	}
}

// maxNames bounds how many customers a line names.
const maxNames = 10

// listedText says how many customers are listed.
func listedText(n int) string {
	if n == 1 {
		return "1 customer is listed"
	}

	return fmt.Sprintf("%d customers are listed", n)
}

// changeText says which customers are new, back or gone.
func changeText(change partner.Change) string {
	var b strings.Builder

	for _, part := range []struct {
		word  string
		names []string
	}{{"new", change.New}, {"back", change.Back}, {"no longer there", change.Vanished}} {
		if len(part.names) > 0 {
			fmt.Fprintf(&b, "; %s: %s", part.word, joinNames(part.names))
		}
	}

	return b.String()
}

// joinNames joins names with commas. Of more than maxNames it counts the rest.
func joinNames(names []string) string {
	if len(names) <= maxNames {
		return strings.Join(names, ", ")
	}

	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), len(names)-maxNames)
}
