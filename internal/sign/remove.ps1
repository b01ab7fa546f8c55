$ErrorActionPreference = 'Stop'
Remove-Item -Path ('Cert:\CurrentUser\My\' + $env:RELMAT_SIGN_THUMBPRINT) -DeleteKey
