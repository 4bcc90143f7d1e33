package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/cli/connector"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// importJob is one stanza with all that is needed to import it.
type importJob struct {
	stanza connector.Stanza
	// name is made of the stanza's name, and no other job has it; empty for a file
	// without stanzas.
	name string
	// keys are those of the [INPUT], tenant is what they mean.
	keys            config.Map
	tenant          config.Tenant
	secret, refresh secret.Text
	// variable is the environment variable of the secret, where it is in no file.
	variable string
}

// prepare collects what a stanza needs: from flags, the stanza, and by asking. It stores
// nothing.
func (im *importing) prepare(ctx context.Context, s connector.Stanza) (*importJob, error) {
	if s.Err != nil {
		return nil, fmt.Errorf("%s: %w", im.file, s.Err)
	}

	for _, key := range s.Sealed {
		im.c.say("note: %s%s is encrypted by Splunk and cannot be used here", im.where(s), plain.Text(key, 64))
	}

	keys, err := im.keys(s)
	if err != nil {
		return nil, err
	}

	job := &importJob{stanza: s, keys: keys}
	if s.Name != "" {
		job.name = slug(shortName(s))
	}

	if job.secret, err = im.secret(ctx, s, keys); err != nil {
		return nil, err
	}

	if im.secretOut != "" && job.secret.IsZero() {
		return nil, usagef("--secret-out: there is no application secret to write")
	}

	if job.refresh, err = im.refreshToken(ctx, s); err != nil {
		return nil, err
	}

	if err := job.refresh.CheckToken(); err != nil {
		return nil, usagef("the refresh token %w; nothing was stored", err)
	}

	if err = im.region(ctx, s, keys); err != nil {
		return nil, err
	}

	checked := config.Map{"grant": "refresh_token"}
	for k, v := range keys {
		checked[k] = v
	}

	var said []string
	if im.set.get("login_url") == "" {
		said = append(said, "login_url")
	}

	job.tenant, err = im.c.tenant(checked, said...)

	return job, err
}

// where begins a message about one of several stanzas.
func (im *importing) where(s connector.Stanza) string {
	if !im.several {
		return ""
	}

	return plain.Text(s.Name, 128) + ": "
}

// answers reports whether somebody can be asked about a stanza. If several are imported,
// lines of a file or pipe are not read as answers: it would not be clear which stanza a
// line is for.
func (im *importing) answers() bool { return im.c.InTerminal || !im.several }

// region asks for the region, where the API has a host for each and none for all.
func (im *importing) region(ctx context.Context, s connector.Stanza, keys config.Map) error {
	where, api := cloud.Cloud(cmp.Or(keys["cloud"], string(cloud.Commercial))), alert.API(keys["api"])
	if keys["region"] != "" || keys["api_url"] != "" || !cloud.NeedsRegion(where, api) {
		return nil
	}

	regions := strings.Join(cloud.Regions(where, api), ", ")

	answer := secret.Text{}

	if im.answers() {
		var err error

		answer, err = im.c.ask(ctx, im.where(s)+"Region of the customer's data ("+regions+"): ", false)
		if err != nil {
			return err
		}
	}

	if answer.IsZero() {
		return usagef("the file does not name the region: add --region with one of %s", regions)
	}

	keys["region"] = strings.ToLower(answer.Reveal())

	return nil
}

// keys returns the keys of the [INPUT]. Flags have precedence over the file.
func (im *importing) keys(s connector.Stanza) (config.Map, error) {
	keys := config.Map(im.set.given())
	fill := func(key, value string) {
		if keys[key] == "" && value != "" {
			keys[key] = value
		}
	}

	absolutePaths(keys)
	fill("tenant_name", im.tenName)

	if s.Name != "" && (im.all || im.stanza != "") {
		fill("tenant_name", slug(shortName(s)))
	}

	fill("tenant_id", s.TenantID)
	fill("client_id", s.ClientID)
	fill("resource", s.Resource)

	if keys["tenant_id"] == "" {
		return nil, usagef("%s has no token_url, which names the tenant: give --tenant-id", im.file)
	}

	if keys["client_id"] == "" {
		return nil, usagef("%s has no client_id: give --client-id", im.file)
	}

	fill("api", apiOf(keys["resource"]))

	if strings.Contains(strings.ToLower(keys["resource"]), "wdatpalertexport.seville") {
		im.c.say("note: the resource %s is the one of before April 2018; if sign-in refuses it, remove the key "+
			"resource", keys["resource"])
	}

	im.addresses(s, keys, fill)

	return keys, nil
}

// addresses takes cloud, region and addresses from the hosts that a stanza names.
func (im *importing) addresses(s connector.Stanza, keys config.Map, fill func(key, value string)) {
	host := tokens.LoginHost(cmp.Or(keys["login_url"], s.LoginURL))
	if keys["api_url"] == "" && s.EventsURL != "" {
		fromEvents(keys, s.Settings, host)
	}

	fill("cloud", string(cloudOf(host)))

	target, err := cloud.Lookup(cloud.Cloud(keys["cloud"]), alert.Graph, "")
	if err != nil || tokens.LoginHost(target.LoginURL) != host {
		fill("login_url", s.LoginURL)

		if keys["login_url"] == s.LoginURL && s.LoginURL != "" {
			im.unknownLogin(s.LoginURL)
		}
	}

	if keys["cloud"] == string(cloud.Commercial) {
		delete(keys, "cloud")
	}
}

// fromEvents takes cloud and region from the host of the API in the file, if it is one
// that is known and belongs to the sign-in service login; another one becomes api_url. A
// cloud or region that was given as a flag has precedence over the file.
func fromEvents(keys config.Map, found connector.Settings, login string) {
	given := keys["cloud"] != "" || keys["region"] != ""
	events := tokens.LoginHost(found.EventsURL)

	for _, row := range cloud.Table() {
		switch {
		case string(row.API) != keys["api"] || tokens.LoginHost(row.APIURL) != events:
		case login != "" && tokens.LoginHost(row.LoginURL) != login:
		case row.Region == "" && found.Region != "": // the same host stands there with its region
		case keys["cloud"] != "" && keys["cloud"] != string(row.Cloud):
		case keys["region"] != "" && !strings.EqualFold(keys["region"], row.Region):
		default:
			keys["cloud"], keys["region"] = string(row.Cloud), row.Region
			return
		}
	}

	if !given {
		keys["api_url"] = found.EventsURL
	}
}

// apiOf returns the API that a resource belongs to. An unknown resource means the alert
// exporter, for which these files were made.
func apiOf(resource string) string {
	if resource == "" {
		return string(alert.SIEM)
	}

	for _, row := range cloud.Table() {
		if strings.EqualFold(strings.TrimRight(row.Resource, "/"), strings.TrimRight(resource, "/")) {
			return string(row.API)
		}
	}

	return string(alert.SIEM)
}

// secret finds the application secret: by flag, from the environment, in the stanza, or
// by asking. Of several stanzas each uses its own before the environment's, which is of
// one application. Without an answer the [INPUT] takes the secret from the environment.
func (im *importing) secret(ctx context.Context, s connector.Stanza, keys config.Map) (secret.Text, error) {
	if keys["client_secret_file"] != "" || keys["client_certificate_file"] != "" || im.set.clientSecret != "" {
		given := config.Map{"client_secret_file": keys["client_secret_file"]}
		if err := im.set.credential(ctx, given); err != nil {
			return secret.Text{}, err
		}

		if given["client_secret_file"] == "" {
			delete(keys, "client_secret_file")
		}

		return secret.New(given["client_secret"]), nil
	}

	set, ok := im.c.LookupEnv("DEFENDER_CLIENT_SECRET")

	environment := ok && strings.TrimSpace(set) != ""
	switch {
	case environment && (!im.several || s.ClientSecret.IsZero()):
		return secret.New(strings.TrimSpace(set)), nil
	case !s.ClientSecret.IsZero():
		return s.ClientSecret, nil
	case !im.answers():
		return secret.Text{}, nil
	}

	return im.c.ask(ctx, im.where(s)+"The file leaves the application secret blank. Secret (Enter to leave it to "+
		"$DEFENDER_CLIENT_SECRET): ", true)
}

func (im *importing) refreshToken(ctx context.Context, s connector.Stanza) (secret.Text, error) {
	if im.refreshFile != "" {
		return im.c.readSecretFile(ctx, "--refresh-token-file", im.refreshFile)
	}

	if !s.RefreshToken.IsZero() {
		return s.RefreshToken, nil
	}

	answer := secret.Text{}

	if im.answers() {
		var err error
		if answer, err = im.c.ask(
			ctx,
			im.where(s)+"The file has no refresh token. Refresh token: ",
			true,
		); err != nil {
			return secret.Text{}, err
		}
	}

	if answer.IsZero() {
		return secret.Text{}, usagef("the file has no refresh token: give --refresh-token-file, or sign in with " +
			"tokens acquire")
	}

	return answer, nil
}
