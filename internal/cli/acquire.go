package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// acquisition is one run of `tokens acquire`.
type acquisition struct {
	c   *cli
	set *settings

	file  string
	every bool

	paste, deviceCode, noBrowser bool
	port                         int
	redirectURI, prompt, account string
	out                          string
	print, json                  bool
	timeout                      time.Duration

	// results are those of --all, for --json.
	results []*acquired
}

func (c *cli) acquireCommand() *cobra.Command {
	a := &acquisition{c: c}
	cmd := &cobra.Command{
		Use:   "acquire [NAME | --all] [--tenant-id TENANT | --home-tenant-id HOME]",
		Short: "Sign in and store the refresh token",
		Long: "Signs in to a customer's tenant with a user who may see its alerts, stores the refresh token, and " +
			"tries the API once. With NAME the settings are those of a tenant of --config; with --all every tenant " +
			"of it that needs a sign-in has its turn, one after the other.\n\n" +
			"--home-tenant-id signs in once for all customers, in the provider's own tenant: it says whether the " +
			"sign-in had multi-factor authentication, and whether customers can be discovered and consented for " +
			"with it.\n\n" +
			"Three ways: the browser on this machine (the default; register http://localhost as redirect address); " +
			"--paste, for a redirect address that is " +
			"registered but answers elsewhere, such as https://<domain>/SiemMsspConnector; --device-code, with a " +
			"code that is entered on any device.\n\n" +
			"When the API refuses afterwards, which is normal before the customer has authorised the application, " +
			"the token is stored, the missing step is " +
			"printed, and the exit code is 4.",
		Example: "  defenderctl tokens acquire --tenant-id 99999999-8888-7777-6666-555555555555 \\\n" +
			"      --tenant-name contoso --client-id 11111111-2222-3333-4444-555555555555 \\\n" +
			"      --client-secret-file /run/secrets/mssp-app\n" +
			"  defenderctl tokens acquire --home-tenant-id aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee \\\n" +
			"      --client-id 11111111-2222-3333-4444-555555555555 \\\n" +
			"      --client-secret-file /run/secrets/mssp-app\n" +
			"  defenderctl tokens acquire --all --config /etc/fluent-bit/fluent-bit.conf",
		Args: optionalArgument("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.run(cmd.Context(), args) },
	}
	cmd.ValidArgsFunction = c.names
	a.set = newSettings(c, cmd, networkKeys, targetKeys, credentialKeys, providerKeys, map[string]string{
		"tenant_id": "the customer's tenant: GUID (advised) or verified domain", "tenant_name": "label for people " +
			"(default the tenant id)"})
	f := cmd.Flags()
	f.StringVar(&a.file, "config", "", "configuration with NAME, or for --all: conf, YAML or tenants file "+
		"(default "+defaultConfig+")")
	f.BoolVar(&a.every, "all", false, "every tenant of --config that needs a sign-in, one after the other")
	f.BoolVar(&a.noBrowser, "no-browser", false, "only print the address to open")
	f.IntVar(&a.port, "port", 0, "port to wait on for the browser (default any free one)")
	f.StringVar(&a.redirectURI, "redirect-uri", "", "redirect address as registered (default http://localhost:PORT/)")
	f.BoolVar(&a.paste, "paste", false, "ask for the address that the browser ended on")
	f.BoolVar(&a.deviceCode, "device-code", false, "sign in on another device with a code")
	f.StringVar(&a.prompt, "prompt", "select_account", "what the service asks the person in any case: "+
		"select_account, login, consent or none of them (\"\")")
	f.StringVar(&a.account, "account", "", "the user who is to sign in; another one's token is refused")
	f.BoolVar(&a.print, "print", false, "print the tokens to the standard output")
	f.StringVar(&a.out, "out", "", "write the refresh token to this file (0600), for a refresh_token_file")
	f.Var(newDuration(&a.timeout, 10*time.Minute), "timeout", "how long to wait for the person")
	f.BoolVar(&a.json, "json", false, "print the result as JSON")
	cmd.MarkFlagsMutuallyExclusive("paste", "device-code")
	cmd.MarkFlagsMutuallyExclusive("device-code", "redirect-uri")
	cmd.MarkFlagsMutuallyExclusive("device-code", "port")
	cmd.MarkFlagsMutuallyExclusive("paste", "port")
	cmd.MarkFlagsMutuallyExclusive("all", "out")
	cmd.MarkFlagsMutuallyExclusive("all", "print")

	return cmd
}

// run signs in. Everything that can fail without the person is done before the person is
// asked.
func (a *acquisition) run(ctx context.Context, args []string) error {
	listen, err := a.checkFlags()
	if err != nil {
		return err
	}

	wanted, err := a.tenants(ctx, args)
	if err != nil {
		return err
	}

	if a.every {
		return a.runAll(ctx, wanted, listen)
	}

	return a.runOne(ctx, wanted[0], listen)
}

// runOne signs in for one tenant.
func (a *acquisition) runOne(ctx context.Context, wanted chosen, listen loopback) error {
	t := wanted.Tenant

	client, err := wiring.HTTPClient(t)
	if err != nil {
		return err
	}

	app := wiring.Application(&t, a.c.log)

	s, err := a.c.open(ctx, wanted.place)
	if err != nil {
		return err
	}
	defer s.Close()

	before, err := checkStore(ctx, s, app.ChainKey())
	if err != nil {
		return err
	}

	out, err := createSecretFile(a.out)
	if err != nil {
		return err
	}
	defer out.abandon()

	got, err := a.signIn(ctx, tokens.Client{App: app, HTTP: client, Now: a.c.Now}, listen)
	if err != nil {
		return err
	}

	r, err := a.examine(t, got, before)
	if err != nil {
		return err
	}

	if err := a.store(ctx, s, app.ChainKey(), got, r, t, out); err != nil {
		return err
	}

	if t.HomeTenantID != "" {
		a.tryHome(ctx, t, client, s, got.Access, r)
	} else {
		a.tryAPI(ctx, t, client, got.Access, r)
	}

	return a.report(got, r)
}

// checkFlags checks the flags that need nothing else to be checked. It returns where to
// wait for the browser.
func (a *acquisition) checkFlags() (loopback, error) {
	if a.timeout <= 0 {
		return loopback{}, usagef("--timeout must be positive")
	}

	if prompts := []string{"select_account", "login", "consent", ""}; !slices.Contains(prompts, a.prompt) {
		return loopback{}, usagef("--prompt: %q is not one of select_account, login, consent and \"\"", a.prompt)
	}

	return a.loopback()
}

// signIn lets a person sign in, in the way that the flags ask for. The person has
// a.timeout for it.
func (a *acquisition) signIn(ctx context.Context, request tokens.Client, listen loopback) (tokens.Tokens, error) {
	person, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()

	var (
		got tokens.Tokens
		err error
	)

	switch {
	case a.deviceCode:
		got, err = a.byDevice(person, request)
	case a.paste:
		got, err = a.byPaste(ctx, person, request)
	default:
		got, err = a.byBrowser(ctx, request, listen)
	}

	var refused *tokens.Error

	late := errors.Is(err, tokens.ErrNobodyReturned) || errors.Is(err, context.DeadlineExceeded)
	if late && !errors.As(err, &refused) && ctx.Err() == nil {
		return got, fmt.Errorf("nobody signed in within %s; nothing was stored", config.FormatDuration(a.timeout))
	}

	return got, err
}

// tenant reads the flags as an input would read its section.
func (a *acquisition) tenant(ctx context.Context) (config.Tenant, error) {
	keys := config.Map(a.set.given())

	if keys["home_tenant_id"] != "" {
		if err := homeKeys(keys); err != nil {
			return config.Tenant{}, err
		}
	}

	if keys["tenant_id"] == "" || keys["client_id"] == "" {
		return config.Tenant{}, usagef("--tenant-id (or --home-tenant-id) and --client-id are required: the " +
			"customer's tenant, or the provider's own, and the application that the MSSP registered")
	}

	if err := a.set.credential(ctx, keys); err != nil {
		return config.Tenant{}, err
	}

	keys["grant"] = "refresh_token"

	t, err := a.c.tenant(keys)
	if err == nil && t.HomeTenantID != "" {
		t = atHome(t)
	}

	return t, err
}

// checkStore returns an error if a token cannot be stored, and otherwise the chain that
// is stored already. A sign-in whose token has no place would cost a person's time.
func checkStore(ctx context.Context, s store.Store, key tokens.ChainKey) (tokens.Chain, error) {
	chains := s.Tokens()
	unlock, err := chains.Lock(ctx, key)
	if err != nil {
		return tokens.Chain{}, err
	}
	defer unlock()

	list, err := chains.List(ctx)
	if err != nil {
		return tokens.Chain{}, err
	}

	var before tokens.Chain

	for _, i := range list {
		if errors.Is(i.Err, store.ErrKey) {
			return tokens.Chain{}, fmt.Errorf("%w; give the key with --key-file", i.Err)
		}

		if i.Err != nil {
			return tokens.Chain{}, i.Err
		}

		if i.Key == key {
			before = i.Chain
		}
	}

	return before, nil
}
