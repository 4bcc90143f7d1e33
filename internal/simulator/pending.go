package simulator

const devicePage = "/devicelogin"

type grantCode struct{}
type deviceCode struct{}

func (s *Simulator) authorize(x *exchange, path string, v2 bool)    { x.html(501, "") }
func (s *Simulator) deviceStart(x *exchange, path string, v2 bool)  { x.html(501, "") }
func (s *Simulator) deviceEnter(x *exchange)                        { x.html(501, "") }
func (s *Simulator) adminConsent(x *exchange, path string, v2 bool) { x.html(501, "") }
func (in *signIn) authorizationCode() ([]byte, *refusal)            { return nil, refused(70003) }
func (in *signIn) deviceCode() ([]byte, *refusal)                   { return nil, refused(70003) }
func (in *signIn) assertion() *refusal                              { return refused(700027) }
