// Command githubtest serves the GitHub for tests until it is interrupted, to
// try relmat and gh by hand:
//
//	go run ./internal/githubtest/cmd/githubtest
//	go run ./internal/githubtest/cmd/githubtest --tls
//
// It prints where it is and how to point both at it, then a line for each
// request. What is wrong by GitHub's description is told as it happens.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/relmat/relmat/internal/githubtest"
)

func main() {
	var (
		repo    = flag.String("repo", "octo/demo", "repository to have, `OWNER/NAME`")
		tags    = flag.String("tags", "v1.0.0", "its tags, with commas between")
		useTLS  = flag.Bool("tls", false, "speak TLS, which gh needs, and HTTP/2")
		port    = flag.Int("port", 0, "port of the API; 0 is any")
		dir     = flag.String("dir", "", "keep the assets' bytes here")
		discard = flag.Bool("discard", false, "hash the assets' bytes and throw them away")
		rate    = flag.Float64("chaos", 0, "part of the requests that fail, 0 to 1")
		seed    = flag.Uint64("seed", 1, "of --chaos")
		latency = flag.Duration("latency", 0, "there and back")
		speed   = flag.Int64("rate", 0, "bytes a second of a connection; 0 is no limit")
	)
	flag.Parse()
	opts := []githubtest.Option{
		githubtest.WithToken("x", githubtest.Rights{Push: true, Admin: true}), githubtest.WithPort(*port),
		githubtest.WithLink(githubtest.Link{Latency: *latency, Rate: *speed}),
	}
	if *useTLS {
		opts = append(opts, githubtest.HTTP2())
	}
	if *dir != "" {
		opts = append(opts, githubtest.WithDir(*dir))
	}
	if *discard {
		opts = append(opts, githubtest.Discard(nil))
	}
	if err := run(*repo, *tags, *rate, *seed, opts); err != nil {
		fmt.Fprintln(os.Stderr, "githubtest:", err)
		os.Exit(1)
	}
}

func run(repo, tags string, rate float64, seed uint64, opts []githubtest.Option) error {
	if owner, name, ok := strings.Cut(repo, "/"); !ok || owner == "" || name == "" {
		return fmt.Errorf("--repo %q is not OWNER/NAME", repo)
	}
	s, err := githubtest.Start(opts...)
	if err != nil {
		return err
	}
	defer s.Close()
	r := s.Repo(repo)
	for _, tag := range strings.Split(tags, ",") {
		if tag != "" {
			r.AddTag(tag, "")
		}
	}
	if rate > 0 {
		s.Chaos(githubtest.Schedule{Seed: seed, Rate: rate, Wait: time.Second, Hang: 5 * time.Second})
	}
	fmt.Printf("GitHub for tests at %s, repository %s, tags %s\n\nrelmat:\n", s.URL, repo, tags)
	fmt.Printf("  export GITHUB_API_URL=%s GITHUB_TOKEN=x", s.URL)
	if s.CAFile != "" {
		host := strings.TrimPrefix(s.URL, "https://")
		fmt.Printf(" SSL_CERT_FILE=%s\ngh:\n  export GH_HOST=%s GH_ENTERPRISE_TOKEN=x SSL_CERT_FILE=%s\n  gh release list -R %s/%s\n\n", s.CAFile, host, s.CAFile, host, repo)
	} else {
		fmt.Print("\n(gh needs --tls)\n\n")
	}
	return follow(s)
}

// follow prints requests and problems until it is interrupted.
func follow(s *githubtest.Server) error {
	told := 0
	var mu sync.Mutex
	s.OnAnswer(func(e githubtest.Entry) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("%4d %s %s %s\n", e.N, e.Method, e.Path, status(e.Status))
		problems := s.Problems()
		for _, p := range problems[told:] {
			fmt.Println("     !", p)
		}
		told = len(problems)
	})
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	<-stop
	return nil
}

func status(code int) string {
	if code == 0 {
		return "broken"
	}
	return fmt.Sprintf("%d %s", code, http.StatusText(code))
}
