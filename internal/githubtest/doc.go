// Package githubtest is a GitHub for tests: the part of GitHub that keeps
// releases, in memory, behind the REST and GraphQL requests that relmat, gh
// and go-github make for them.
//
// It exists because no real GitHub can be asked to break an upload after byte
// 4096, and because a hand-written stub says only what its author believes.
// So each request and each answer is checked against GitHub's own description
// of its REST interface (spec/rest.json), each GraphQL query against GitHub's
// schema (spec/schema.graphql), and what differs makes the test fail.
//
//	s := githubtest.New(t)              // or Start(opts...) outside of tests
//	r := s.Repo("owner/name")           // made on first use
//	r.AddTag("v1.0.0", "")              // with a commit of its own
//	rel := r.AddRelease(githubtest.NewRelease{Tag: "v1.0.0", Draft: true})
//	rel.AddAsset("old.zip", []byte("bytes"))   // uploaded, with its digest
//	rel.AddStarter("broken.zip")               // what a broken upload leaves
//	// ... run the client with s.URL and token githubtest.Token ...
//	state := r.State()                  // releases and assets, as they are
//	n := s.Count(githubtest.OpUpload)   // of the request log
//
// # Addresses
//
// [Server.URL] is the API (api.github.com, and with /api/v3 and /api/graphql
// appended that of an Enterprise server), [Server.UploadURL] the host of
// uploads, a third one serves bytes and, as GitHub's storage does, refuses a
// request that brings its token along. All listen on 127.0.0.1. With [TLS] or
// [HTTP2] they speak TLS and [Server.CAFile] is what a client has to trust.
//
// # Faults
//
//	s.Fail(githubtest.Match{Op: githubtest.OpUpload}, githubtest.Reset(4096), githubtest.BadGateway(true))
//	s.Chaos(githubtest.Schedule{Seed: 7, Rate: 0.2})
//	s.Calm() // no more of either
//
// Each fault of Fail is used up by one matching request, in order. Waits that
// the server asks for are what the test says: a Retry-After of less than a
// second is sent with a fraction ("0.02"), which GitHub never does, so that
// tests of waiting need not wait.
//
// # Watching
//
// [Server.OnChange] is called after every change with the state of the
// repository, [Server.Guard] records names that lost their good bytes, and
// [Server.OnRequest] is called before every request is answered. All that is
// wrong by GitHub's own description, or by a guard, is in [Server.Problems]
// and fails the test at its end, unless the option [KeepProblems] is given.
package githubtest
