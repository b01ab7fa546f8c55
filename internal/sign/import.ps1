$ErrorActionPreference = 'Stop'
$store = 'Cert:\CurrentUser\My'
$had = @(Get-ChildItem $store | ForEach-Object { $_.Thumbprint })
$password = ConvertTo-SecureString $env:RELMAT_SIGN_PASSWORD -AsPlainText -Force
$found = Import-PfxCertificate -FilePath $env:RELMAT_SIGN_KEYSTORE -CertStoreLocation $store -Password $password | Where-Object { $_.HasPrivateKey } | Select-Object -First 1
if ($had -contains $found.Thumbprint) { 'present ' + $found.Thumbprint } else { 'imported ' + $found.Thumbprint }
