package githubtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/relmat/relmat/internal/githubtest"
)

// query asks by GraphQL and returns the answer's data as text.
func query(t *testing.T, s *githubtest.Server, path, text string, vars map[string]any) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"query": text, "variables": vars})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "bearer "+githubtest.Token)
	resp, err := plainHTTP(t, s).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a struct{ Data, Errors json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	if a.Errors != nil {
		return string(a.Errors)
	}
	return string(a.Data)
}

// TestGraphQL has the queries of gh 2.83 (pkg/cmd/release/shared/fetch.go,
// create/http.go, list/http.go, internal/featuredetection) as it sends them,
// and one as relmat may.
func TestGraphQL(t *testing.T) {
	s := githubtest.New(t)
	r := s.Repo("o/r")
	pub := r.AddRelease(githubtest.NewRelease{Tag: "v1", Name: "One"})
	pub.AddAsset("a", []byte("a"))
	pub.AddStarter("b")
	r.AddRelease(githubtest.NewRelease{Tag: "v2", Draft: true})
	repo := map[string]any{"owner": "o", "name": "r"}
	with := func(key string, value any) map[string]any {
		m := map[string]any{key: value}
		for k, v := range repo {
			m[k] = v
		}
		return m
	}
	byTag := `query RepositoryReleaseByTag($name:String!$owner:String!$tagName:String!){repository(owner: $owner, name: $name){release(tagName: $tagName){databaseId,isDraft}}}`
	list := with("perPage", 1)
	list["endCursor"], list["direction"] = nil, "DESC"
	for _, tt := range []struct {
		name, path, query string
		vars              map[string]any
		want              string
	}{
		{"published", "/graphql", byTag, with("tagName", "v1"), `{"repository":{"release":{"databaseId":1002,"isDraft":false}}}`},
		{"draft", "/api/graphql", byTag, with("tagName", "v2"), `{"repository":{"release":{"databaseId":1005,"isDraft":true}}}`},
		{"none", "/graphql", byTag, with("tagName", "v3"), `{"repository":{"release":null}}`},
		{
			"no repository", "/graphql", byTag,
			map[string]any{"owner": "o", "name": "x", "tagName": "v1"},
			`[{"message":"Could not resolve to a Repository with the name 'o/x'.","path":["repository"],"type":"NOT_FOUND"}]`,
		},
		{
			"tag", "/graphql", `query RepositoryFindRef($name:String!$owner:String!$tagName:String!){repository(owner: $owner, name: $name){ref(qualifiedName: $tagName){id}}}`,
			with("tagName", "refs/tags/v2"), `{"repository":{"ref":null}}`,
		},
		{
			"list", "/graphql",
			`query RepositoryReleaseList($direction:OrderDirection!$endCursor:String$name:String!$owner:String!$perPage:Int!){repository(owner: $owner, name: $name){releases(first: $perPage, orderBy: {field: CREATED_AT, direction: $direction}, after: $endCursor){nodes{name,tagName,isDraft,immutable,isLatest,isPrerelease},pageInfo{hasNextPage,endCursor}}}}`,
			list,
			`{"repository":{"releases":{"nodes":[{"immutable":false,"isDraft":true,"isLatest":false,"isPrerelease":false,"name":null,"tagName":"v2"}],"pageInfo":{"endCursor":"1","hasNextPage":true}}}}`,
		},
		{
			"assets", "/graphql", `query($owner:String!,$name:String!){repository(owner:$owner,name:$name){viewerPermission latestRelease{...R}}} fragment R on Release{__typename tagCommit{oid} releaseAssets(first:10){totalCount nodes{name size digest}}}`, repo,
			`{"repository":{"latestRelease":{"__typename":"Release","releaseAssets":{"nodes":[{"digest":"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","name":"a","size":1}],"totalCount":1},"tagCommit":{"oid":"` + r.Head() + `"}},"viewerPermission":"ADMIN"}}`,
		},
		{"features", "/graphql", `query Release_fields{Release: __type(name: "PageInfo"){fields{name}}}`, nil, `{"Release":{"fields":[{"name":"endCursor"},{"name":"hasNextPage"},{"name":"hasPreviousPage"},{"name":"startCursor"}]}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := query(t, s, tt.path, tt.query, tt.vars); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}
