package simulator

// Secrets returns everything that must never be seen outside the files that are made to
// hold it: the applications' secrets, every refresh token issued or seeded, and the
// access tokens and authorization codes that are remembered. Tests look for each of
// them in logs and records.
func (s *Simulator) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()

	set := map[string]bool{}

	for _, t := range s.tenants {
		for _, a := range t.Apps {
			set[a.Secret] = true
		}
	}

	for text := range s.refresh {
		set[text] = true
	}

	for text := range s.access {
		set[text] = true
	}

	for text := range s.codes {
		set[text] = true
	}

	delete(set, "") // an application without a secret

	list := make([]string, 0, len(set))
	for text := range set {
		list = append(list, text)
	}

	return list
}
