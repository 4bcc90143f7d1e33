package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// separate gives each job a name, unit and variable of its own, so that all sections can
// be in one configuration.
func separate(jobs []*importJob) {
	names, units := map[string]bool{}, map[string]bool{}
	secrets := map[string]bool{}

	for _, j := range jobs {
		base := j.name
		for n := 2; names[j.name] && base != ""; n++ {
			j.name = fmt.Sprintf("%s-%d", base, n)
		}

		names[j.name] = true

		unit := j.tenant.Unit()
		if key := fmt.Sprint(unit); units[key] {
			j.keys["state_id"] = j.name
		} else {
			units[key] = true
		}

		secrets[strings.ToLower(string(j.tenant.ClientID))+" "+j.secret.Reveal()] = true
	}

	for _, j := range jobs {
		j.variable = "DEFENDER_CLIENT_SECRET"
		if len(secrets) > 1 {
			j.variable += "_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(j.name))
		}
	}
}

// slug makes a name that can be part of a tag, a file and a variable.
func slug(name string) string {
	s := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}

		return '-'
	}, name)

	return strings.Trim(s, "-.")
}

// keep stores the tokens of all jobs, and writes their secrets. It goes on with the
// others where one fails.
func (im *importing) keep(ctx context.Context, jobs []*importJob) ([]imported, error) {
	c := im.c

	if len(jobs) == 0 {
		return nil, nil
	}

	files := make([]*secretFile, len(jobs))
	for i, j := range jobs {
		var err error
		if files[i], err = createSecretFile(im.secretPath(j.name)); err != nil {
			return nil, im.reportAll(err)
		}
		defer files[i].abandon()
	}

	s, err := c.open(ctx, place{})
	if err != nil {
		return nil, im.reportAll(err)
	}
	defer s.Close()

	var (
		all    []imported
		failed error
	)

	for i, j := range jobs {
		r, err := im.keepOne(ctx, s, j, files[i])
		if err != nil {
			if failed = err; !im.all {
				return nil, err
			}

			c.say("%s: not imported: %v", plain.Text(j.stanza.Name, 128), err)
			r.Problem = err.Error()
		}

		all = append(all, r)
	}

	return all, failed
}

// reportAll prints an error that ends the import of every stanza: with --all the
// command prints no error at its end, it only sets the exit code.
func (im *importing) reportAll(err error) error {
	if im.all {
		im.c.say("%v", err)
	}

	return err
}

// keepOne stores the token of a job and writes its [INPUT].
func (im *importing) keepOne(ctx context.Context, s store.Store, j *importJob, out *secretFile) (imported, error) {
	c, t := im.c, j.tenant
	r := imported{
		Stanza:   j.stanza.Name,
		TenantID: string(t.TenantID),
		Tenant:   t.TenantName,
		ClientID: string(t.ClientID),
		API:      string(t.API),
		Resource: t.Resource,
	}

	key := wiring.Application(&t, c.log).ChainKey()
	if _, err := checkStore(ctx, s, key); err != nil {
		return r, err
	}

	if err := out.write(j.secret); err != nil {
		return r, err
	}

	if err := tokens.Adopt(ctx, s.Tokens(), key, tokens.SignIn{
		Refresh:    j.refresh,
		TenantName: j.keys["tenant_name"],
		At:         c.Now(),
	}); err != nil {
		return r, err
	}

	at, err := c.at(place{})
	if err != nil {
		return r, err
	}

	switch {
	case j.keys["client_secret_file"] != "" || j.keys["client_certificate_file"] != "":
	case out != nil:
		r.File = wiring.AbsolutePath(out.path)
		j.keys["client_secret_file"] = r.File
	default:
		j.keys["client_secret"] = "${" + j.variable + "}"
		c.say("%sthe application secret is not stored: set %s in Fluent Bit's environment, or use "+
			"--secret-out", im.where(j.stanza), j.variable)
	}

	r.Stored = true
	j.keys["key_file"] = at.KeyFile

	if at.Shared() {
		r.Store = at.Name()
		j.keys["store"] = r.Store
	} else {
		r.DataDir = at.DataDir
		j.keys["data_dir"] = r.DataDir
	}

	r.Input = inputSection(t, j.keys)
	c.tell("%s: the refresh token is stored in %s", label(t.TenantName, string(t.TenantID)),
		plain.Text(at.Name(), 1024))

	return r, nil
}

// inputSection writes an [INPUT] for Fluent Bit, keys in the order of the reference page.
func inputSection(t config.Tenant, keys config.Map) string {
	var b strings.Builder

	row := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "    %-15s %s\n", key, value)
		}
	}

	b.WriteString("[INPUT]\n")
	row("Name", "defender")
	row("Tag", "defender."+cmp.Or(slug(keys["tenant_name"]), slug(string(t.TenantID))))
	row("Threaded", "Off")
	row("storage.type", "filesystem")

	for _, o := range config.Options() {
		row(o.Name, keys[o.Name])
	}

	return b.String()
}
