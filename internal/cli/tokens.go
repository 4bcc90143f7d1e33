package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/grant"
	"fluent-bit-defender/internal/measure"
	"fluent-bit-defender/internal/store"
	"fluent-bit-defender/internal/wiring"
	"fluent-bit-defender/tokens"
)

// listed is a stored chain, as --json prints it.
type listed struct {
	TenantID  string `json:"tenant_id"`
	Tenant    string `json:"tenant"`
	ClientID  string `json:"client_id"`
	LoginHost string `json:"login_host"`
	// Home says that customers are reached with it: it is the provider's own sign-in.
	Home      bool    `json:"home"`
	Account   string  `json:"account"`
	Obtained  *string `json:"obtained"`
	Refreshed *string `json:"refreshed"`
	Expires   *string `json:"expires"`
	State     string  `json:"state"`
	Remedy    string  `json:"remedy,omitempty"`
}

// stateOf returns the state of a chain in a few words, and what to do about it.
func (c *cli) stateOf(i store.ChainInfo, api string) (state, remedy string) {
	f := i.Chain.Forecast(c.Now(), c.application(i, api))
	switch {
	case !i.Chain.Dead.IsZero():
		return "dead " + i.Chain.Dead.String(), f.Remedy
	case errors.Is(i.Err, store.ErrPlain):
		return "not encrypted", "stop Fluent Bit and run: defenderctl tokens rekey --key-file FILE"
	case errors.Is(i.Err, store.ErrTampered):
		return "not to be trusted", i.Err.Error()
	case i.Err != nil:
		return "encrypted with another key", "give the key with --key-file"
	}

	return f.State(c.Now()), f.Remedy
}

func (c *cli) listCommand() *cobra.Command {
	var asJSON bool

	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the stored refresh tokens",
		Args:    noArguments,
		Example: "  defenderctl tokens list --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.list(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")

	return cmd
}

// list prints the stored chains.
func (c *cli) list(ctx context.Context, asJSON bool) error {
	s, err := c.look(ctx)
	if err != nil {
		return err
	}
	defer s.Close()

	if s.s == nil {
		return c.noDirectory(asJSON)
	}

	chains, err := s.chains(ctx)
	if err != nil {
		return err
	}

	if asJSON {
		return printJSON(c.Out, c.listed(ctx, s, chains))
	}

	if len(chains) == 0 {
		at, _ := c.at(place{}) // it was read from there
		c.tell("no refresh tokens are stored in %s; see: defenderctl tokens acquire --help",
			plain.Text(at.Name(), 1024))

		return nil
	}

	c.printChains(chains)

	for _, i := range chains {
		if f := i.Chain.Forecast(c.Now(), c.application(i, s.apiOf(ctx, i.Key))); f.Soon {
			c.say("%s: %s; %s", label(i.Chain.TenantName, i.Key.TenantID), f.Text, f.Remedy)
		}
	}

	return nil
}

// listed returns chains as --json prints them.
func (c *cli) listed(ctx context.Context, s *view, chains []store.ChainInfo) []listed {
	all := []listed{}

	for _, i := range chains {
		l := listed{
			TenantID:  i.Key.TenantID,
			Tenant:    cmp.Or(i.Chain.TenantName, i.Key.TenantID),
			ClientID:  i.Key.ClientID,
			LoginHost: i.Key.LoginHost,
			Home:      i.Chain.Home,
			Account:   i.Chain.Account,
			Obtained:  measure.Moment(i.Chain.Obtained),
			Refreshed: measure.Moment(i.Chain.Refreshed),
			Expires:   measure.Moment(i.Chain.Forecast(c.Now(), tokens.App{}).Ends),
		}
		l.State, l.Remedy = c.stateOf(i, s.apiOf(ctx, i.Key))
		all = append(all, l)
	}

	return all
}

// printChains prints the table of stored chains.
func (c *cli) printChains(chains []store.ChainInfo) {
	header := []string{"TENANT_ID", "TENANT", "CLIENT_ID", "ACCOUNT", "OBTAINED", "REFRESHED", "EXPIRES", "STATE"}

	var rows [][]string

	for _, i := range chains {
		state, _ := c.stateOf(i, "")
		rows = append(rows, []string{
			i.Key.TenantID,
			nameOf(i.Chain),
			i.Key.ClientID,
			i.Chain.Account,
			age(i.Chain.Obtained, c.Now()),
			age(i.Chain.Refreshed, c.Now()),
			date(i.Chain.Forecast(c.Now(), tokens.App{}).Ends),
			state,
		})
	}

	// On a narrow terminal these columns are shortened, in this order. The tenant id
	// comes last, since it is there to be copied; the state is never shortened.
	table(c.Out, header, rows, 2, 3, 1, 0)
}

// nameOf returns the label of a chain for a table. The provider's own sign-in is marked.
func nameOf(c tokens.Chain) string {
	switch {
	case !c.Home:
		return cmp.Or(c.TenantName, "-")
	case c.TenantName == "":
		return "home"
	}

	return c.TenantName + " (home)"
}

// names completes NAME from the store.
func (c *cli) names(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}

	s, err := c.look(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.Close()

	var names []string

	add := func(name string) {
		if strings.HasPrefix(strings.ToLower(name), strings.ToLower(prefix)) {
			names = append(names, name)
		}
	}

	list, _ := s.chains(context.Background())
	for _, i := range list {
		add(cmp.Or(i.Chain.TenantName, i.Key.TenantID))
	}

	statuses, _ := s.statuses(context.Background())
	for key, st := range statuses {
		add(cmp.Or(st.TenantName, string(key.TenantID)))
	}

	return names, cobra.ShellCompDirectiveNoFileComp
}

// refreshed is the answer to `tokens refresh`, as --json prints it.
type refreshed struct {
	TenantID string      `json:"tenant_id"`
	Tenant   string      `json:"tenant"`
	ClientID string      `json:"client_id"`
	Resource string      `json:"resource"`
	Grant    grant.Grant `json:"grant"`
	Rotated  bool        `json:"rotated"`
	Tid      string      `json:"tid"`
	Aud      string      `json:"aud"`
	Roles    []string    `json:"roles"`
	Scp      []string    `json:"scp"`
	Exp      *string     `json:"exp"`
	Expires  *string     `json:"expires"`
}

func (c *cli) refreshCommand() *cobra.Command {
	var (
		file   string
		asJSON bool
	)

	cmd := &cobra.Command{
		Use:   "refresh NAME",
		Short: "Refresh a stored token now and say what the service answers",
		Args:  oneArgument("NAME"),
		Long: "Redeems the stored refresh token of a tenant and stores what it is rotated to. The application's " +
			"credential comes from a configuration (--config) or from the flags. The inputs may run meanwhile.",
		Example: "  defenderctl tokens refresh contoso --config /etc/fluent-bit/fluent-bit.conf\n" +
			"  defenderctl tokens refresh contoso --api siem --region eu \\\n" +
			"      --client-secret-file /run/secrets/mssp-app",
	}
	set := newSettings(c, cmd, networkKeys, targetKeys, credentialKeys)
	cmd.ValidArgsFunction = c.names
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t, s, err := c.choose(cmd.Context(), args[0], file, set)
		if err != nil {
			return err
		}
		defer s.Close()

		r, err := c.refresh(cmd.Context(), t.Tenant, s)
		if err != nil {
			return err
		}

		if asJSON {
			return printJSON(c.Out, r)
		}

		c.printRefreshed(r)

		return nil
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration with the tenant's credential: conf, YAML or tenants file")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")

	return cmd
}

// refresh gets an access token for a tenant and returns what the service said.
func (c *cli) refresh(ctx context.Context, t config.Tenant, s store.Store) (refreshed, error) {
	parts, err := c.parts(t, c.log)
	if err != nil {
		return refreshed{}, err
	}

	keeper := c.keeper(s)

	source, err := parts.Source(keeper)
	if err != nil {
		return refreshed{}, err
	}

	done := c.progress(func() string { return "asking " + t.LoginURL })
	access, err := source.Refresh(ctx)

	done()

	if err := errors.Join(err, unsaved(ctx, keeper)); err != nil {
		return refreshed{}, err
	}

	r := refreshed{
		TenantID: string(t.TenantID),
		Tenant:   t.TenantName,
		ClientID: string(t.ClientID),
		Resource: t.Resource,
		Grant:    source.Grant(),
		Rotated:  access.Rotated,
		Roles:    []string{},
		Scp:      []string{},
		Exp:      measure.Moment(access.Expiry),
	}
	if claims, err := tokens.Inspect(access.Token); err == nil {
		r.Tid = claims.Tid
		r.Aud = claims.Aud
		r.Roles = append(r.Roles, claims.Roles...)
		r.Scp = append(r.Scp, claims.Scp...)
	}

	chain, ok, err := s.Tokens().Load(ctx, wiring.Application(&t, c.log).ChainKey())
	if ok {
		r.Expires = measure.Moment(chain.Forecast(c.Now(), tokens.App{}).Ends)
	}

	return r, err
}

// printRefreshed prints the answer to `tokens refresh` for a person.
func (c *cli) printRefreshed(r refreshed) {
	fmt.Fprintln(c.Out, c.wrap(fmt.Sprintf("%s: the service gave an access token for %s in tenant %s, until %s",
		label(r.Tenant, r.TenantID), orUnknown(r.Aud), orUnknown(r.Tid), *r.Exp), "  "))
	fmt.Fprintf(c.Out, "  permissions: %s\n", orNone(append(r.Scp, r.Roles...)))

	switch {
	case r.Grant == grant.ClientCredentials:
		fmt.Fprintln(c.Out, "  the application signed in by itself: there is no refresh token")
	case r.Rotated:
		fmt.Fprintf(c.Out, "  a new refresh token is stored; unused, it lives until %s\n", *r.Expires)
	default:
		fmt.Fprintln(c.Out, "  the service gave no new refresh token: the stored one stays")
	}
}

// choose finds the tenant that a command is about, in a configuration or in the store,
// and opens the store for writing.
func (c *cli) choose(ctx context.Context, name, file string, set *settings) (chosen, store.Store, error) {
	if file != "" {
		t, err := c.fromConfig(ctx, file, name, set.get("api"), set.get("client_id"))
		if err == nil {
			err = set.override(ctx, &t.Tenant)
		}

		if err != nil {
			return chosen{}, nil, err
		}

		s, err := c.open(ctx, t.place)

		return t, s, err
	}
	// Looked up for reading first: a name that is not known makes no directory.
	ro, err := c.lookFirst(ctx)
	if err != nil {
		return chosen{}, nil, err
	}

	i, err := findChain(ctx, ro, name, set.get("client_id"), set.get("login_url"))
	api := ro.apiOf(ctx, i.Key)
	ro.Close()

	if err != nil {
		return chosen{}, nil, err
	}

	t, err := c.fromStore(ctx, i, api, set)
	if err != nil {
		return chosen{}, nil, err
	}

	s, err := c.open(ctx, place{})

	return t, s, err
}

// removal is one run of `tokens remove`.
type removal struct {
	clientID, login string
	yes             bool
}

func (c *cli) removeCommand() *cobra.Command {
	var r removal

	cmd := &cobra.Command{
		Use:     "remove NAME",
		Aliases: []string{"rm"},
		Short:   "Forget a stored refresh token",
		Args:    oneArgument("NAME"),
		Long: "Forgets a stored refresh token, and which seeds were used: one that is still configured begins a " +
			"new chain. It stays valid at Microsoft: revoke the user's sessions there if it must not be used any " +
			"more. An input with grant auto and a credential of the application signs in as the application itself " +
			"when it starts next; grant refresh_token keeps it from that.",
		Example: "  defenderctl tokens remove contoso\n  defenderctl tokens remove contoso --yes",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.remove(cmd.Context(), args[0], r) },
	}
	cmd.ValidArgsFunction = c.names

	flags := cmd.Flags()
	flags.StringVar(&r.clientID, "client-id", "", "application, where a tenant has tokens of several")
	flags.StringVar(&r.login, "login-url", "", "sign-in service, likewise")
	flags.BoolVarP(&r.yes, "yes", "y", false, "do not ask; required where there is no terminal")

	return cmd
}

// remove forgets the chain that a name means.
func (c *cli) remove(ctx context.Context, named string, r removal) error {
	readOnly, err := c.lookFirst(ctx)
	if err != nil {
		return err
	}

	i, err := findChain(ctx, readOnly, named, r.clientID, r.login)
	readOnly.Close()

	if err != nil {
		return err
	}

	name := label(i.Chain.TenantName, i.Key.TenantID)
	if !r.yes {
		if err := c.confirmRemoval(ctx, name); err != nil {
			return err
		}
	}

	s, err := c.open(ctx, place{})
	if err != nil {
		return err
	}
	defer s.Close()

	removed, err := s.Tokens().Remove(ctx, i.Key)
	if err != nil {
		return err
	}

	if !removed {
		return unknownName(named, nil)
	}

	fmt.Fprintf(c.Out, "%s: the refresh token for client %s is forgotten\n", name, i.Key.ClientID)
	c.nameOldTokens(s, "may still hold the token")
	c.say("note: from its next start on, an input with grant auto and a credential of the application " +
		"signs in as the application itself; where that must not be, set grant refresh_token")

	return nil
}

// confirmRemoval asks whether the refresh token of a tenant is to be forgotten. Every
// answer but yes is an error.
func (c *cli) confirmRemoval(ctx context.Context, name string) error {
	if !c.InTerminal {
		return usagef("nobody is here to confirm it: add --yes to forget the refresh token of %s", name)
	}

	answer, err := c.ask(ctx, "Forget the refresh token of "+name+"? A new one takes a person's sign-in. [y/N] ", false)
	if err != nil {
		return err
	}

	if a := strings.ToLower(answer.Reveal()); a != "y" && a != "yes" {
		return errors.New("nothing was removed")
	}

	return nil
}

// nameOldTokens names the files that were found damaged earlier: a command that changes
// all tokens does not reach what is in them. hold says what they do.
func (c *cli) nameOldTokens(s store.Store, hold string) {
	paths, err := s.OldTokenFiles()
	if err != nil {
		c.say("warning: files that were found damaged earlier could not be looked for: %v", err)
		return
	}

	if len(paths) == 0 {
		return
	}

	words := make([]string, len(paths))
	for i, path := range paths {
		words[i] = plain.Shell(path)
	}

	c.say("warning: files that were found damaged earlier %s; remove them if you do not need them: rm "+
		"%s", hold, strings.Join(words, " "))
}

func (c *cli) rekeyCommand() *cobra.Command {
	var (
		newKey  string
		decrypt bool
	)

	cmd := &cobra.Command{
		Use:   "rekey",
		Short: "Encrypt all stored tokens with another key",
		Args:  noArguments,
		Long: "Encrypts every stored token again. --key-file is the key they have now, --new-key-file the one they " +
			"get. Tokens that are not encrypted yet need --key-file alone; until then an input with key_file does " +
			"not use them. A tokens.db that something else has changed is taken as good. The inputs must be " +
			"stopped; afterwards their key_file must name the new key.\n\n" +
			"A key: head -c 32 /dev/urandom | base64 > /etc/fluent-bit/defender.key",
		Example: "  defenderctl tokens rekey --key-file old.key --new-key-file new.key",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.rekey(cmd.Context(), newKey, decrypt) },
	}
	cmd.Flags().StringVar(&newKey, "new-key-file", "", "file with the new key")
	cmd.Flags().BoolVar(&decrypt, "decrypt", false, "store the tokens without encryption from now on")
	cmd.MarkFlagsMutuallyExclusive("new-key-file", "decrypt")

	return cmd
}

// rekey encrypts all stored tokens with the key in the file newKey, or with that of
// --key-file if newKey is empty. With decrypt it stores them without encryption.
func (c *cli) rekey(ctx context.Context, newKey string, decrypt bool) error {
	if newKey == "" && c.keyFile == "" && !decrypt {
		return usagef("give --new-key-file, or --key-file alone for tokens that are not encrypted yet, or --decrypt")
	}

	path := wiring.AbsolutePath(cmp.Or(newKey, c.keyFile))
	if decrypt {
		path = ""
	}

	key, err := wiring.StoreKey(path)
	if err != nil {
		return err
	}

	at, err := c.at(place{})
	if err != nil {
		return err
	}

	switch {
	case at.Shared() && decrypt:
		return usagef("the tokens in a database are always encrypted, since they leave this machine; " +
			"--decrypt is for files in --data-dir")
	case !at.Shared() && !exists(at.DataDir):
		return fmt.Errorf("there is no %s: nothing is stored there", plain.Text(at.DataDir, 1024))
	}

	s, err := c.openAt(ctx, at, "defenderctl tokens rekey")
	if err != nil {
		return err
	}
	defer s.Close()

	n, err := s.Tokens().Rekey(ctx, key)
	if err != nil {
		return err
	}

	c.nameOldTokens(s, "still hold tokens as they were before")

	if decrypt {
		fmt.Fprintf(c.Out, "%d decrypted; remove key_file from the inputs\n", n)
		return nil
	}

	fmt.Fprintf(c.Out, "%d encrypted with %s; every input needs: key_file %s\n", n, path, path)

	return nil
}
